"""A world of services on Celery that tells what our instrumentation would tell of it; it knows nothing of rules."""
