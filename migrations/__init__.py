"""How the tables came to be: numbered revisions, applied in order by Alembic, each in force whole or not at all.

What the tables are is `jobs.tables`' question; a test compares both databases, migrated and made at once.

    python -m migrations "Jobs learn a colour"      drafts versions/0002_jobs_learn_a_colour.py

Then write its steps, raise `schema.HEAD`, and change `jobs.tables` to match. A revision is a frozen copy: it imports
nothing of ours and never changes after a release. One that changes the view `results` carries the new text as
RESULTS_VIEW. There is no way down; the way back is a copy of the database.

SQLite changes a column by rebuilding its table (`op.batch_alter_table`), and the rebuilt one lacks the CHECKs and the
indexes over expressions unless the revision names them again.
"""
