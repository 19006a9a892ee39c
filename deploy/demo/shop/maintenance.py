"""Maintenance: the jobs that end badly, each in its own way."""

import logging
import os
import signal
import time

from shop.celery_app import app

log = logging.getLogger(__name__)


@app.task(name="shop.maintenance.compact_archive")
def compact_archive() -> None:
    """Is killed in mid-run, as the kernel does when memory runs out."""
    log.info("compacting the archive")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="shop.maintenance.rebuild_search", time_limit=1)
def rebuild_search() -> None:
    """Takes longer than its hard time limit."""
    log.info("rebuilding the search index")
    time.sleep(60)


@app.task(name="shop.maintenance.export_orders", soft_time_limit=1, time_limit=20)
def export_orders() -> None:
    """Takes longer than its soft time limit."""
    log.info("exporting orders")
    time.sleep(15)


@app.task(name="shop.maintenance.delete_old_orders")
def delete_old_orders() -> None:
    """Is revoked before it starts."""
    log.warning("this line is never written")
