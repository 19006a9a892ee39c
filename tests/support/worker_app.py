"""A Celery application with one task for each way in which a task can end."""

import logging
import os
import signal
import sys
import time
from typing import Any

import structlog
from celery import Celery
from celery.exceptions import Ignore, Reject
from celery.utils.log import get_task_logger

import celeryscope

app = Celery("scenarios", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(
    task_default_queue=os.environ["QUEUE"],
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
)
celeryscope.instrument(app)

structlog.configure(processors=[celeryscope.structlog_processor, structlog.processors.JSONRenderer()])
task_logger = get_task_logger(__name__)


@app.task
def succeed(value: int = 1, **_: Any) -> int:
    return value


@app.task
def fail() -> None:
    try:
        {}["sku"]
    except KeyError as error:
        raise ValueError("bad order") from error


class Unpicklable(Exception):
    def __init__(self, message: str, lock: Any) -> None:
        super().__init__(message)
        self.lock = lock


@app.task
def fail_unpicklable() -> None:
    import threading

    raise Unpicklable("with a lock", threading.Lock())


@app.task
def fail_in_group() -> None:
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])


@app.task(bind=True, max_retries=2)
def flaky(self: Any) -> str:
    if self.request.retries < 2:
        raise self.retry(exc=RuntimeError(f"attempt {self.request.retries}"), countdown=0.2)
    return "at last"


@app.task(bind=True, max_retries=1)
def never(self: Any) -> None:
    try:
        raise RuntimeError("still broken")
    except RuntimeError as error:
        raise self.retry(exc=error, countdown=0.1) from error


@app.task
def killed() -> None:
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def hoards(megabytes: int) -> None:
    hoard = [bytearray(os.urandom(2**20)) for _ in range(megabytes)]
    time.sleep(len(hoard))


@app.task
def exits() -> None:
    sys.exit(3)


@app.task(time_limit=0.5)
def over_hard_limit(seconds: float = 60) -> None:
    time.sleep(seconds)


@app.task(soft_time_limit=0.5)
def over_soft_limit(seconds: float = 60) -> None:
    time.sleep(seconds)


@app.task
def ignored() -> None:
    raise Ignore


@app.task
def rejected() -> None:
    raise Reject("not for us", requeue=False)


@app.task
def logs() -> None:
    task_logger.warning("careful with %s", "order 7", extra={"order": 7})
    structlog.get_logger().info("charged", amount=12.5)
    logging.getLogger("shop.stdlib").error("oh", exc_info=ValueError("shown"))


@app.task
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


@app.task
def waits_for(file: str) -> None:
    """Until a test has made the file, or has forgotten to."""
    deadline = time.monotonic() + 300
    while not os.path.exists(file) and time.monotonic() < deadline:  # noqa: PTH110
        time.sleep(0.05)
