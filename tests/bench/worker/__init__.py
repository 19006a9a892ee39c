"""What celeryscope costs a real Celery worker, beside plain Celery and beside its peers: ``make bench-worker``."""
