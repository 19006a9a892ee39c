"""A Celery application whose tasks run until the file ``release`` stands in the worker's folder."""

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from celery import Celery, signals

import celeryscope

app = Celery("stuck", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(
    task_default_queue=os.environ["QUEUE"],
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=int(os.environ.get("MAX_TASKS", "0")) or None,
)
celeryscope.instrument(app)

RELEASE = Path("release")
SIGNALLED = Path("signalled")
MOST = 150.0
stock = threading.Lock()

if "TAKES_SIGNAL" in os.environ:

    @signals.worker_process_init.connect
    def take_signal(**_: Any) -> None:
        signal.signal(int(os.environ["TAKES_SIGNAL"]), lambda *_: SIGNALLED.touch())


def until_released() -> None:
    deadline = time.monotonic() + MOST
    while not RELEASE.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@app.task
def quick() -> int:
    return os.getpid()


@app.task
def signals_itself() -> None:
    os.kill(os.getpid(), int(os.environ["TAKES_SIGNAL"]))


@app.task
def waits_for_a_lock() -> None:
    held = threading.Event()

    def hold() -> None:
        with stock:
            held.set()
            until_released()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    with stock:
        pass


@app.task
def waits_for_a_server(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        return connection.recv(1)


@app.task
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


@app.task(celeryscope_stack_after=0)
def may_take_long(seconds: float) -> None:
    time.sleep(seconds)


@app.task
def computes() -> int:
    count = 0
    deadline = time.monotonic() + MOST
    while time.monotonic() < deadline and (count % 100_000 or not RELEASE.exists()):
        count += 1
    return count


@app.task(time_limit=12)
def holds_the_interpreter() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")
