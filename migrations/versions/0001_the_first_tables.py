"""The first tables.

A frozen copy of what `jobs.tables` was; constraints and indexes have their full names, because the naming
convention may change.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
UTC = sa.DateTime(timezone=True)

BATCH_STATES = "'loading', 'ready', 'open', 'paused', 'cancelled'"
STATES = (
    "'pending', 'queued', 'submitting', 'unconfirmed', 'running', 'collecting', "
    "'succeeded', 'failed', 'cancelled'"
)
PHASES = (
    "'submitting', 'unconfirmed', 'running', 'collecting', "
    "'refused', 'absent', 'succeeded', 'failed', 'cancelled', 'orphan'"
)
FINAL = "'cancelled', 'failed', 'succeeded'"
OPEN = "'collecting', 'running', 'submitting', 'unconfirmed'"
UNSETTLED = "'submitting', 'unconfirmed'"

RESULTS_VIEW = """
CREATE VIEW results AS
SELECT b.name AS batch, j.key, j.row, j.state, j.image, j.input, j.version, j.labels, j.priority,
       j.attempts, j.error_class, j.error_message, a.prediction_id, a.predict_time, a.cost,
       (SELECT count(*) FROM outputs o WHERE o.attempt_id = j.attempt_id AND o.path IS NOT NULL) AS images,
       (SELECT o.path FROM outputs o WHERE o.attempt_id = j.attempt_id AND o."index" = 0) AS path,
       j.created_at, j.finished_at
FROM jobs j
JOIN batches b ON b.id = j.batch_id
LEFT JOIN attempts a ON a.id = j.attempt_id
"""


def upgrade() -> None:
    """Create the tables in the order of their references."""
    _batches()
    _jobs()
    _indexes_of_jobs()
    _accounts()
    _attempts()
    _indexes_of_attempts()
    _outputs()
    _events()


def _index_where(name: str, table: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    op.create_index(
        name,
        table,
        [sa.text(column) for column in columns],
        unique=unique,
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", ID, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("api", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("pause_reason", sa.String(16)),
        sa.Column("pause_detail", sa.Text),
        sa.Column("options", JSON, nullable=False),
        sa.Column("manifest_path", sa.Text),
        sa.Column("manifest_sha256", sa.String(64)),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("opened_at", UTC),
        sa.Column("finished_at", UTC),
        sa.PrimaryKeyConstraint("id", name="batches_pkey"),
        sa.UniqueConstraint("uuid", name="batches_uuid_key"),
        sa.UniqueConstraint("name", name="batches_name_key"),
        sa.UniqueConstraint("folder", name="batches_folder_key"),
        sa.CheckConstraint(f"state IN ({BATCH_STATES})", name="batches_state_known"),
        sa.CheckConstraint(
            "(state = 'paused') = (pause_reason IS NOT NULL)", name="batches_pause_has_a_reason"
        ),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("batch_id", ID, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("stem", sa.Text, nullable=False),
        sa.Column("row", sa.Integer),
        sa.Column("row_digest", sa.String(32), nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("input", JSON, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("own_seed", sa.Boolean, nullable=False),
        sa.Column("labels", JSON, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", UTC),
        sa.Column("attempt_id", ID),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("absences", sa.Integer, nullable=False),
        sa.Column("cancel_requested_at", UTC),
        sa.Column("error_class", sa.String(32)),
        sa.Column("error_message", sa.Text),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("finished_at", UTC),
        sa.PrimaryKeyConstraint("id", name="jobs_pkey"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="jobs_batch_id_fkey"),
        sa.UniqueConstraint("batch_id", "key", name="jobs_batch_id_key_key"),
        sa.CheckConstraint(f"state IN ({STATES})", name="jobs_state_known"),
        sa.CheckConstraint(f"(state IN ({FINAL})) = (finished_at IS NOT NULL)", name="jobs_final_has_an_end"),
        sa.CheckConstraint(f"(state IN ({FINAL})) = (due_at IS NULL)", name="jobs_final_is_never_due"),
        sa.CheckConstraint("(state = 'failed') = (error_class IS NOT NULL)", name="jobs_failed_has_a_class"),
        sa.CheckConstraint(
            f"state NOT IN ({OPEN}) OR attempt_id IS NOT NULL", name="jobs_open_has_an_attempt"
        ),
    )


def _indexes_of_jobs() -> None:
    op.create_index("jobs_one_file_name", "jobs", ["batch_id", sa.text("lower(stem)")], unique=True)
    op.create_index("jobs_counted", "jobs", ["batch_id", "state", "error_class"])
    _index_where("jobs_due", "jobs", ["state", "due_at"], "due_at IS NOT NULL")
    _index_where("jobs_to_release", "jobs", ["batch_id", "priority DESC", "id"], "state = 'pending'")
    _index_where("jobs_to_cancel", "jobs", ["cancel_requested_at"], "cancel_requested_at IS NOT NULL")


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("api", sa.Text, nullable=False),
        sa.Column("can_list", sa.Boolean),
        sa.Column("list_missing_at", UTC),
        sa.Column("creates_tokens", sa.Double, nullable=False),
        sa.Column("reads_tokens", sa.Double, nullable=False),
        sa.Column("refilled_at", UTC, nullable=False),
        sa.Column("not_before", UTC),
        sa.Column("rate", sa.Double),
        sa.Column("throttled_at", UTC),
        sa.Column("breaker", sa.String(16), nullable=False),
        sa.Column("breaker_reason", sa.Text),
        sa.Column("breaker_at", UTC),
        sa.Column("probe_at", UTC),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failing_since", UTC),
        sa.Column("failing", sa.String(16)),
        sa.Column("seen_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("id", name="accounts_pkey"),
        sa.UniqueConstraint("name", name="accounts_name_key"),
        sa.CheckConstraint("breaker IN ('closed', 'outage', 'blocked')", name="accounts_breaker_known"),
        sa.CheckConstraint(
            "(breaker = 'closed') = (breaker_reason IS NULL)", name="accounts_breaker_has_a_reason"
        ),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("input", JSON, nullable=False),
        sa.Column("input_digest", sa.String(32), nullable=False),
        sa.Column("prediction_id", sa.Text),
        sa.Column("intended_at", UTC, nullable=False),
        sa.Column("sent_at", UTC),
        sa.Column("accepted_at", UTC),
        sa.Column("produced_at", UTC),
        sa.Column("absent_at", UTC),
        sa.Column("finished_at", UTC),
        sa.Column("cancel_sent_at", UTC),
        sa.Column("predict_time", sa.Double),
        sa.Column("cost", sa.Double),
        sa.Column("possibly_paid", sa.Boolean, nullable=False),
        sa.Column("error_class", sa.String(32)),
        sa.Column("error_message", sa.Text),
        sa.PrimaryKeyConstraint("id", name="attempts_pkey"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="attempts_job_id_fkey"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="attempts_account_id_fkey"),
        sa.UniqueConstraint("prediction_id", name="attempts_prediction_id_key"),
        sa.UniqueConstraint("job_id", "number", name="attempts_job_id_number_key"),
        sa.CheckConstraint(f"phase IN ({PHASES})", name="attempts_phase_known"),
        sa.CheckConstraint(f"(phase IN ({OPEN})) = (finished_at IS NULL)", name="attempts_closed_has_an_end"),
        sa.CheckConstraint(
            "phase NOT IN ('running', 'collecting', 'succeeded', 'orphan') OR prediction_id IS NOT NULL",
            name="attempts_bought_has_an_id",
        ),
    )


def _indexes_of_attempts() -> None:
    op.create_index("attempts_to_match", "attempts", ["input_digest"])
    _index_where("attempts_one_open", "attempts", ["job_id"], f"phase IN ({OPEN})", unique=True)
    _index_where(
        "attempts_one_unsettled_twin",
        "attempts",
        ["account_id", "input_digest"],
        f"phase IN ({UNSETTLED})",
        unique=True,
    )
    _index_where("attempts_orphaned", "attempts", ["id"], "phase = 'orphan' AND cancel_sent_at IS NULL")


def _outputs() -> None:
    op.create_table(
        "outputs",
        sa.Column("id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("attempt_id", ID, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("path", sa.Text),
        sa.Column("media_type", sa.String(32)),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("sha256", sa.String(64)),
        sa.Column("collected_at", UTC),
        sa.PrimaryKeyConstraint("id", name="outputs_pkey"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="outputs_job_id_fkey"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="outputs_attempt_id_fkey"),
        sa.UniqueConstraint("path", name="outputs_path_key"),
        sa.UniqueConstraint("attempt_id", "index", name="outputs_attempt_id_index_key"),
        sa.CheckConstraint(
            "(path IS NULL) = (collected_at IS NULL) AND (path IS NULL) = (sha256 IS NULL)",
            name="outputs_file_is_whole",
        ),
    )
    op.create_index("outputs_of_job", "outputs", ["job_id"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", ID, nullable=False),
        sa.Column("batch_id", ID),
        sa.Column("at", UTC, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("id", name="events_pkey"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="events_batch_id_fkey"),
    )
    op.create_index("events_of_batch", "events", ["batch_id", "id"])
