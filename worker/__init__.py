"""Does the work: the Celery app and its tasks. The only place that speaks to the API."""
