"""How the tables came to be: numbered revisions, applied in order by Alembic, all of an upgrade or none.

`jobs.tables` says what the tables are; a test compares a migrated database with one created at once. The view
`results`, which no program of ours reads, is said here alone.

    python -m migrations "Jobs learn a colour"      drafts versions/NNNN_jobs_learn_a_colour.py

Then write its steps, raise `schema.HEAD`, and change `jobs.tables` to match. A revision is a frozen copy: it
imports nothing of ours and never changes after a release. One that changes the view `results`, or a column that it
uses, carries the text as RESULTS_VIEW. There is no downgrade; to go back, restore a copy of the database.

SQLite changes a column by rebuilding its table (`op.batch_alter_table`); the rebuilt table lacks the CHECKs
and the indexes over expressions unless the revision names them again.
"""
