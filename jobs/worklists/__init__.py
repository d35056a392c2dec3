"""What a worker needs to know about the rows it was handed. Reads only; rows that have moved on are left out."""

from jobs.worklists.bought import Trace, bought_by, first_known, known, traces, witness
from jobs.worklists.doubtful import Case, cases, seeded, unsettled
from jobs.worklists.fetching import Collecting, Output, ToFetch, collecting, to_fetch
from jobs.worklists.waiting import (
    ANY_UNWANTED,
    Running,
    begun,
    cancel_requested,
    due,
    running,
    running_as,
    to_cancel,
    under_way,
    unwanted,
)

__all__ = [
    "ANY_UNWANTED",
    "Case",
    "Collecting",
    "Output",
    "Running",
    "ToFetch",
    "Trace",
    "begun",
    "bought_by",
    "cancel_requested",
    "cases",
    "collecting",
    "due",
    "first_known",
    "known",
    "running",
    "running_as",
    "seeded",
    "to_cancel",
    "to_fetch",
    "traces",
    "under_way",
    "unsettled",
    "unwanted",
    "witness",
]
