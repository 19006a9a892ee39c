"""``worker_app`` with a task that lets its secret slip in every way that we send."""

import logging
from typing import Any

import structlog
from opentelemetry import trace

from support.worker_app import app, task_logger

tracer = trace.get_tracer("shop")


def connect(*, password: str) -> None:
    raise KeyError({"password": password, "host": "cache"})


@app.task(bind=True, max_retries=1)
def leaks(self: Any, order: int, *, password: str, settings: dict[str, Any], iban: str) -> None:
    token = password  # noqa: F841 - a variable of the frame
    task_logger.warning("paying with password=%s", password, extra={"api_key": password, "at": {"secret": [password]}})
    logging.getLogger("shop.db").error("refused", exc_info=ConnectionError(f"amqp://ann:{password}@broker"))
    structlog.get_logger().info("paid", token=password, user={"password": password, "name": "ann"})
    print(f"token={password}")
    span = trace.get_current_span()
    span.set_attributes({"password": password, "order": order})
    span.add_event("looked up", {"token": password})
    with tracer.start_as_current_span("query") as inner:
        inner.set_attribute("db.url", f"postgresql://ann:{password}@db/shop")
        inner.record_exception(ValueError(f"api_key={password}"))
        inner.set_status(trace.StatusCode.ERROR, f"token: {password}")
    if not self.request.retries:
        raise self.retry(exc=ConnectionError(f"redis://:{password}@cache is gone, token={password}"), countdown=0.1)
    try:
        connect(password="q7Z-literal")
    except KeyError as error:
        error.add_note(f"token: {password}")
        raise ValueError(f"order {order}: secret={password!r}") from error


@app.task
def chatters(lines: int) -> None:
    for number in range(lines):
        logging.getLogger("shop.noisy").info("line %s", number)
