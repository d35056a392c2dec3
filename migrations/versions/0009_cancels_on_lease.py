"""Attempts know when their API is asked, or asked again, to cancel them, and why it refused."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add columns; no row is rewritten, and null means at once."""
    op.add_column("attempts", sa.Column("cancel_at", sa.DateTime(timezone=True)))
    op.add_column("attempts", sa.Column("cancel_refused", sa.Text))
