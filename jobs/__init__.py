"""What lasts: tables, life cycle, manifests in, results out. Knows no HTTP and no Celery."""
