"""Attempts count the fetches that did not bring all their images."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add a column; no row is rewritten."""
    op.add_column("attempts", sa.Column("misses", sa.Integer, nullable=False, server_default=sa.text("0")))
