"""The Celery application that every measured worker and publisher runs; its instrumentation comes from ``peers``."""

import os

from celery import Celery

from worker import peers

app = Celery("bench", broker=os.environ["BENCH_REDIS"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ["BENCH_QUEUE"],
    task_send_sent_event=bool(os.environ.get("BENCH_EVENTS")),
    worker_send_task_events=bool(os.environ.get("BENCH_EVENTS")),
)


@app.task(ignore_result=True)
def succeed() -> None:
    """Nothing at all: whatever it costs is Celery's or the instrumentation's."""


@app.task(ignore_result=True)
def fail() -> None:
    """Fails a few frames deep, with a cause, as code of an application does."""
    _order({"id": 4711})


def _order(order: dict[str, int]) -> None:
    _pay(order)


def _pay(order: dict[str, int]) -> None:
    try:
        _amount(order)
    except KeyError as error:
        raise ValueError(f"order {order['id']} has no amount") from error


def _amount(order: dict[str, int]) -> int:
    return order["amount"]


peers.instrument(app)
