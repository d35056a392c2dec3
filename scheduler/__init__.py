"""Decides when: a Celery beat scheduler whose timetable is the job table. Never calls the API."""
