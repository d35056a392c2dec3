"""Whether an API's list shows images as they were sent. Null, which existing accounts have: not known yet."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add a column; no row is written."""
    op.add_column("accounts", sa.Column("list_shows_images", sa.Boolean))
