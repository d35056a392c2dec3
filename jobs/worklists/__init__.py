"""What a worker needs to know about the rows it was handed. Reads only; rows that have moved on are left out."""

from jobs.worklists.bought import bought_by, first_known, inputs, known, purchases, witness
from jobs.worklists.claimants import Owner, Trace, owners, traces
from jobs.worklists.doubtful import Case, cases, seeded, unsettled
from jobs.worklists.fetching import Collecting, Output, ToFetch, collecting, to_fetch
from jobs.worklists.reach import compared_from, may_lack, swept_from
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
    "Owner",
    "Running",
    "ToFetch",
    "Trace",
    "begun",
    "bought_by",
    "cancel_requested",
    "cases",
    "collecting",
    "compared_from",
    "due",
    "first_known",
    "inputs",
    "known",
    "may_lack",
    "owners",
    "purchases",
    "running",
    "running_as",
    "seeded",
    "swept_from",
    "to_cancel",
    "to_fetch",
    "traces",
    "under_way",
    "unsettled",
    "unwanted",
    "witness",
]
