"""An account has limits of its own, and remembers when polls may read the list of its API again.

Null, as every row has them now, leaves the limits to the settings and lets the list be read.
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
