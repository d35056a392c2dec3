"""When an account's running predictions are looked at next, all at once. Null, as all accounts have it now: at once."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add a column; no row is written."""
    op.add_column("accounts", sa.Column("poll_at", sa.DateTime(timezone=True)))
