"""An attempt knows when its API is to be asked, or asked again, to cancel it, and why that does not."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add columns; no row is rewritten, and null is at once."""
    op.add_column("attempts", sa.Column("cancel_at", sa.DateTime(timezone=True)))
    op.add_column("attempts", sa.Column("cancel_refused", sa.Text))
