"""Jobs count the failed uploads of their image."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add a column; no row is rewritten."""
    op.add_column(
        "jobs", sa.Column("upload_failures", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
