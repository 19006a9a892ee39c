"""The tasks of ``worker_app``, those that only the behaviour matrix needs, and ways to publish them."""

import asyncio
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.canvas import StampingVisitor
from celery.exceptions import Reject
from celery.result import AsyncResult

from support.waiting import until
from support.worker_app import *  # noqa: F403
from support.worker_app import app, succeed

app.conf.broker_transport_options = {"visibility_timeout": float(os.environ.get("VISIBILITY_TIMEOUT", "3600"))}
app.conf.result_backend_transport_options = {
    "retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
}
QUEUE = os.environ["QUEUE"]
stranger = Celery("stranger", broker=os.environ["BROKER_URL"])
"""An application that has none of the tasks."""
stranger.conf.task_default_queue = QUEUE


def first_time(task: Task) -> bool:
    """Whether no delivery of the task has asked before; leaves a file in the worker's folder."""
    try:
        Path(f"{task.request.id}.seen").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@app.task
def fail_for_memory() -> None:
    raise MemoryError("no room")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@app.task
def fail_unspeakable() -> None:
    raise Unspeakable


@app.task
def fail_deeply() -> None:
    sys.setrecursionlimit(5000)
    descend(999)


def descend(depth: int) -> None:
    if not depth:
        raise ValueError("at the bottom")
    # Two lines in turn: Python leaves out frames that are equal.
    if depth % 2:
        descend(depth - 1)
    else:
        descend(depth - 1)


@app.task
def fail_hugely() -> None:
    raise ValueError(f"begin {'x' * 10_000_000} end")


@app.task
def cancelled() -> None:
    raise asyncio.CancelledError("by whom?")


@app.task(time_limit=0.5)
def fail_to_clean_up(seconds: float) -> None:
    try:
        time.sleep(seconds)
    finally:
        raise ValueError("can't clean up")


@app.task(bind=True, acks_late=True)
def requeued(self: Any) -> str:
    if first_time(self):
        raise Reject("once more", requeue=True)
    return "at last"


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def killed_and_requeued(self: Any) -> str:
    if first_time(self):
        os.kill(os.getpid(), signal.SIGKILL)
    return "at last"


@app.task(bind=True)
def replaced(self: Any) -> None:
    raise self.replace(succeed.si(7))


@app.task(bind=True)
def waits(self: Any, seconds: float) -> None:
    first_time(self)
    time.sleep(seconds)


@app.task
def waits_for_release() -> None:
    """Until the file ``release`` is in the worker's folder."""
    until(Path("release").exists, what="release")


@app.task(bind=True, acks_late=True)
def waits_once(self: Any, seconds: float) -> None:
    if first_time(self):
        time.sleep(seconds)


@app.task
def called_back(*_: Any) -> str:
    return "called back"


@app.task
def told_of_failure(task_id: str) -> str:
    return task_id


class Stamping(StampingVisitor):
    def on_signature(self, signature: Any, **headers: Any) -> dict[str, Any]:
        return {"customer": "c-7", "regions": ["north", "south"], "stamped_headers": ["customer", "regions"]}


def stamped() -> AsyncResult:
    signature = succeed.s()
    signature.stamp(Stamping())
    return signature.apply_async()


def started(result: AsyncResult) -> AsyncResult:
    """The same result, once its task (``waits`` or ``waits_once``) runs in a worker that shares the folder."""
    until(Path(f"{result.id}.seen").exists, what="start of the task")
    return result


def terminated(seconds: float, how: str) -> AsyncResult:
    result = started(waits.delay(seconds))
    result.revoke(terminate=True, signal=how)
    return result


def revoked() -> AsyncResult:
    # Long enough for the revocation to be there first, also when this process or the worker pauses.
    result = succeed.apply_async(countdown=8)
    result.revoke()
    return result


def malformed() -> AsyncResult:
    """A message that names no task."""
    result = AsyncResult(str(uuid.uuid4()), app=app)
    with app.producer_pool.acquire(block=True) as producer:
        queue = app.amqp.queues[QUEUE]
        producer.publish([[], {}, {}], headers={"id": result.id}, routing_key=QUEUE, declare=[queue], serializer="json")
    return result
