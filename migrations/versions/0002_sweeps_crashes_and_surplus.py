"""What a sweep records of an account, a crash counter for jobs, and an index for the billing fuse.

The counter has a server default: existing rows need a value, and a column with a constant default is added to
a million of them at once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

UTC = sa.DateTime(timezone=True)
SURPLUS = "phase = 'orphan' OR possibly_paid AND phase = 'absent'"


def upgrade() -> None:
    """Add columns and indexes; no row is rewritten."""
    op.add_column("jobs", sa.Column("crashes", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("accounts", sa.Column("list_echoes", sa.Boolean))
    op.add_column("accounts", sa.Column("list_lag", sa.Double))
    op.add_column("accounts", sa.Column("swept_at", UTC))
    op.add_column("accounts", sa.Column("sweep_at", UTC))
    op.create_index("attempts_by_age", "attempts", ["account_id", "intended_at"])
    op.create_index(
        "attempts_surplus",
        "attempts",
        ["job_id"],
        sqlite_where=sa.text(SURPLUS),
        postgresql_where=sa.text(SURPLUS),
    )
