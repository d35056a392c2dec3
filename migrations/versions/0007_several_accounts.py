"""Accounts may have labels, a batch may name one, and a job knows which account it was handed out for.

Null, which existing rows have, means an account without a label, and for a batch any account. Jobs under way
get the account of their attempt; those handed out but not sent are handed out again after their lease.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add columns; only rows of jobs under way are written."""
    op.add_column("accounts", sa.Column("label", sa.Text))
    op.add_column("batches", sa.Column("account", sa.Text))
    op.add_column("jobs", sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer, "sqlite")))
    op.execute(
        """
        UPDATE jobs SET account_id = (SELECT a.account_id FROM attempts a WHERE a.id = jobs.attempt_id)
        WHERE state IN ('submitting', 'unconfirmed', 'running', 'collecting') AND due_at IS NOT NULL
        """
    )
