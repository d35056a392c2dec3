"""The tables: what is stored, and which contradictions the database itself refuses.

SQLAlchemy Core, no ORM. Nothing cascades: rows that cost money are never deleted as a side effect.
Writers: `lifecycle` of jobs, attempts and outputs; `batches`, `accounts`, `events` and `hints` each of its
own table.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from jobs import states
from jobs.dialects import Id, Json, Utc, index_where, literally

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)


def _one_of(column: str, words: type[StrEnum]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _words(words: frozenset[Any]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


_FINAL = _words(states.FINAL)
_OPEN = _words(states.OPEN_PHASES)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("folder", sa.Text, nullable=False, unique=True),
    sa.Column("api", sa.Text, nullable=False),
    sa.Column("account", sa.Text),  # label of the only account that may buy it; null: any at the API
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("pause_reason", sa.String(16)),
    sa.Column("pause_detail", sa.Text),
    sa.Column("options", Json, nullable=False),
    sa.Column("manifest_path", sa.Text),
    sa.Column("manifest_sha256", sa.String(64)),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("opened_at", Utc),
    sa.Column("finished_at", Utc),  # when a person cancelled it; that all its jobs have ended is not stored
    _one_of("state", states.BatchState),
    sa.CheckConstraint("(state = 'paused') = (pause_reason IS NOT NULL)", name="pause_has_a_reason"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("batch_id", Id, sa.ForeignKey("batches.id"), nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("stem", sa.Text, nullable=False),
    sa.Column("row", sa.Integer),
    sa.Column("row_digest", sa.String(32), nullable=False),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("input", Json, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    # The seed is of our making, so nobody else can have sent it: only such predictions are ever cancelled as
    # orphans.
    sa.Column("own_seed", sa.Boolean, nullable=False),
    sa.Column("labels", Json, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("due_at", Utc),
    # The fence. No foreign key: the attempt already points at its job; two pointers would need each other.
    sa.Column("attempt_id", Id),
    # The account that it was last handed out for; while an attempt is open, that attempt's, to save a join.
    sa.Column("account_id", Id),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("absences", sa.Integer, nullable=False),
    # Workers that took it and fell silent; after that its image is decoded in a process of its own.
    sa.Column("crashes", sa.Integer, nullable=False, server_default=sa.text("0")),
    # Failed uploads of its image while the API answered other calls.
    sa.Column("upload_failures", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("cancel_requested_at", Utc),
    sa.Column("error_class", sa.String(32)),
    sa.Column("error_message", sa.Text),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("finished_at", Utc),
    sa.UniqueConstraint("batch_id", "key"),
    _one_of("state", states.State),
    sa.CheckConstraint(f"(state IN ({_FINAL})) = (finished_at IS NOT NULL)", name="final_has_an_end"),
    sa.CheckConstraint(f"(state IN ({_FINAL})) = (due_at IS NULL)", name="final_is_never_due"),
    sa.CheckConstraint("(state = 'failed') = (error_class IS NOT NULL)", name="failed_has_a_class"),
    # An open attempt's phase is its job's state, word for word.
    sa.CheckConstraint(f"state NOT IN ({_OPEN}) OR attempt_id IS NOT NULL", name="open_has_an_attempt"),
)
# Two keys that differ only in case would be one file on half of the world's disks.
sa.Index("jobs_one_file_name", jobs.c.batch_id, sa.func.lower(jobs.c.stem), unique=True)
index_where("jobs_due", "due_at IS NOT NULL", jobs.c.state, jobs.c.due_at)
PENDING = literally(states.State.PENDING)
index_where("jobs_to_release", "state = 'pending'", jobs.c.batch_id, jobs.c.priority.desc(), jobs.c.id)
sa.Index("jobs_counted", jobs.c.batch_id, jobs.c.state, jobs.c.error_class)
index_where("jobs_to_cancel", "cancel_requested_at IS NOT NULL", jobs.c.cancel_requested_at)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("label", sa.Text),  # the name that a person gave it; null: none, as the only account
    sa.Column("api", sa.Text, nullable=False),
    sa.Column("can_list", sa.Boolean),
    sa.Column("list_missing_at", Utc),
    sa.Column("list_echoes", sa.Boolean),  # whether its list shows what was sent; null: not known yet
    sa.Column("list_shows_images", sa.Boolean),  # and the image unchanged; null: not known yet
    sa.Column("list_lag", sa.Double),  # the longest that a purchase was seen to be missing from it; seconds
    sa.Column("swept_at", Utc),  # everything bought before this is known, as far as the list shows it
    sa.Column("sweep_at", Utc),
    sa.Column("glance_at", Utc),  # polls do not read the list before this; null: whenever it is cheaper
    # No running prediction is polled before this, so that one page serves all that are due; null: at once.
    sa.Column("poll_at", Utc),
    sa.Column("creates_tokens", sa.Double, nullable=False),
    sa.Column("reads_tokens", sa.Double, nullable=False),
    sa.Column("refilled_at", Utc, nullable=False),
    sa.Column("not_before", Utc),
    sa.Column("rate", sa.Double),
    sa.Column("hinted_at", Utc),  # when a webhook of one of its predictions last came; null: never
    # Set by a person while everything runs; null: by the settings of each process.
    sa.Column("creates_per_minute", sa.Integer),
    sa.Column("reads_per_minute", sa.Integer),
    sa.Column("max_in_flight", sa.Integer),
    sa.Column("throttled_at", Utc),
    sa.Column("breaker", sa.String(16), nullable=False),
    sa.Column("breaker_reason", sa.Text),
    sa.Column("breaker_at", Utc),
    sa.Column("probe_at", Utc),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since", Utc),
    sa.Column("failing", sa.String(16)),
    sa.Column("seen_at", Utc, nullable=False),
    sa.CheckConstraint("breaker IN ('closed', 'outage', 'blocked')", name="breaker_known"),
    sa.CheckConstraint("(breaker = 'closed') = (breaker_reason IS NULL)", name="breaker_has_a_reason"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    # Unique among the rows of one INSERT, so SQLAlchemy can match the new ids to them in a single statement.
    sa.Column("job_id", Id, sa.ForeignKey("jobs.id"), nullable=False, insert_sentinel=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("account_id", Id, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("input", Json, nullable=False),
    sa.Column("input_digest", sa.String(32), nullable=False),
    sa.Column("prediction_id", sa.Text, unique=True),
    sa.Column("intended_at", Utc, nullable=False),
    sa.Column("sent_at", Utc),
    sa.Column("accepted_at", Utc),
    sa.Column("produced_at", Utc),
    sa.Column("absent_at", Utc),
    sa.Column("finished_at", Utc),
    sa.Column("cancel_sent_at", Utc),
    sa.Column("cancel_at", Utc),  # its API is asked to cancel it, or asked again, no sooner; null: at once
    sa.Column("cancel_refused", sa.Text),  # why its API does not cancel it
    sa.Column("predict_time", sa.Double),
    sa.Column("cost", sa.Double),
    sa.Column("possibly_paid", sa.Boolean, nullable=False),
    # Fetches that did not bring all its images. Counted, since elapsed time alone may be a reset clock or
    # hours of sleep.
    sa.Column("misses", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("error_class", sa.String(32)),
    sa.Column("error_message", sa.Text),
    sa.UniqueConstraint("job_id", "number"),
    _one_of("phase", states.Phase),
    sa.CheckConstraint(f"(phase IN ({_OPEN})) = (finished_at IS NULL)", name="closed_has_an_end"),
    sa.CheckConstraint(
        "phase NOT IN ('running', 'collecting', 'succeeded', 'orphan') OR prediction_id IS NOT NULL",
        name="bought_has_an_id",
    ),
)
index_where("attempts_one_open", f"phase IN ({_OPEN})", attempts.c.job_id, unique=True)
# Queries must repeat this word for word, or SQLite does not use the partial index.
UNSETTLED = f"phase IN ({_words(states.UNSETTLED_PHASES)})"
# Two sends that the list could not tell apart must not both be in doubt.
index_where(
    "attempts_one_unsettled_twin", UNSETTLED, attempts.c.account_id, attempts.c.input_digest, unique=True
)
sa.Index("attempts_to_match", attempts.c.input_digest)
sa.Index("attempts_by_age", attempts.c.account_id, attempts.c.intended_at)
# As with UNSETTLED: word for word.
SURPLUS = "phase = 'orphan' OR possibly_paid AND phase = 'absent'"
index_where("attempts_surplus", SURPLUS, attempts.c.job_id)
index_where("attempts_orphaned", "phase = 'orphan' AND cancel_sent_at IS NULL", attempts.c.id)

outputs = sa.Table(
    "outputs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("job_id", Id, sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("attempt_id", Id, sa.ForeignKey("attempts.id"), nullable=False),
    sa.Column("index", sa.Integer, nullable=False),
    sa.Column("url", sa.Text),  # null: the reply carried the image itself; the prediction is asked again
    sa.Column("path", sa.Text, unique=True),  # relative to OUTPUT; null until the file is there
    sa.Column("media_type", sa.String(32)),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("sha256", sa.String(64)),
    sa.Column("collected_at", Utc),
    sa.UniqueConstraint("attempt_id", "index"),
    sa.CheckConstraint(
        "(path IS NULL) = (collected_at IS NULL) AND (path IS NULL) = (sha256 IS NULL)", name="file_is_whole"
    ),
)
sa.Index("outputs_of_job", outputs.c.job_id)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("batch_id", Id, sa.ForeignKey("batches.id")),
    sa.Column("at", Utc, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("detail", sa.Text),
)
sa.Index("events_of_batch", events.c.batch_id, events.c.id)

# The webhooks of the last day: a repeated one is recognised by its id and changes nothing.
hints = sa.Table(
    "hints",
    metadata,
    sa.Column("webhook_id", sa.Text, primary_key=True),
    sa.Column("received_at", Utc, nullable=False),
)
sa.Index("hints_by_age", hints.c.received_at)


def settable(table: sa.Table, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return values as they are, for an update that sets what is among its parameters: it drops what is no column."""
    if strange := [name for name in values if name not in table.c]:
        raise ValueError(f"{table.name} has no {', '.join(strange)}")
    return values
