"""An order shop: a Celery application with the successes and failures of real life, for the demo and the tests."""
