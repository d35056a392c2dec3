"""An account may have a name, a batch may want one by it, and a job knows which one it was handed out for.

Null, as accounts and batches have it now, is the account without a name, and whichever there is. Jobs under way get
the account of their attempt; those that were handed out and not sent are handed out again after their lease.
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
