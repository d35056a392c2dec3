"""The five tasks. Each is short (database, HTTP, database), and each may safely get the same message twice."""

from worker.tasks import cancel, collect, poll, reconcile, submit

__all__ = ["cancel", "collect", "poll", "reconcile", "submit"]
