"""Tiny web applications that publish tasks, for real gunicorn and uvicorn, set up as docs/instrumentation.md says."""
