"""The Celery application of all of them, and its worker's."""

import logging
import os

from celery import Celery

import celeryscope
from support import imports_in_threads  # noqa: F401 - records from here on

app = Celery("web-shop", broker=os.environ["BROKER_URL"])
app.conf.update(task_default_queue=os.environ["QUEUE"], broker_connection_retry_on_startup=True)
celeryscope.instrument(app)

if "LOG_AT_IMPORT" in os.environ:
    # A master that loads the application before it forks has a spool and a shipper of its own from here on.
    logging.getLogger("web").warning("loaded for %s", os.environ["LOG_AT_IMPORT"])


@app.task(name="pay", ignore_result=True)
def pay(order: str) -> None: ...


@app.task(name="receipt", ignore_result=True)
def receipt(order: str) -> None: ...


def checkout(order: str) -> str:
    """Publish a chain; says its root's id and which process published it."""
    return f"{(pay.si(order) | receipt.si(order)).delay().parent.id} {os.getpid()}"
