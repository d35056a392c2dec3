"""Which webhooks came lately, so that each counts once, and when an account's latest came.

With null, which existing accounts have, predictions are polled by how long others ran.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add a column and a table; no row is rewritten."""
    op.add_column("accounts", sa.Column("hinted_at", UTC))
    op.create_table(
        "hints",
        sa.Column("webhook_id", sa.Text, nullable=False),
        sa.Column("received_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", name="hints_pkey"),
    )
    op.create_index("hints_by_age", "hints", ["received_at"])
