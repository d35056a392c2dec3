"""How messages travel, in memory or by Redis: as Celery ships it, but for how a queue is read."""
