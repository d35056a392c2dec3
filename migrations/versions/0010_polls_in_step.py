"""When all running predictions of an account are next polled together. Null, which existing accounts have: at once."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add a column; no row is written."""
    op.add_column("accounts", sa.Column("poll_at", sa.DateTime(timezone=True)))
