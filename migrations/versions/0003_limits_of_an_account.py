"""Accounts get limits of their own, and the time from which polls may read their API's list again.

Null, which existing rows have, leaves the limits to the settings and allows the list to be read.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns; no row is rewritten."""
    op.add_column("accounts", sa.Column("glance_at", sa.DateTime(timezone=True)))
    op.add_column("accounts", sa.Column("creates_per_minute", sa.Integer))
    op.add_column("accounts", sa.Column("reads_per_minute", sa.Integer))
    op.add_column("accounts", sa.Column("max_in_flight", sa.Integer))
