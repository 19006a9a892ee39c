"""What Celery workers leave in Kafka, as the collector writes it there: messages of many records, a tenant a run.

The mix is that of a run of `make demo`: for each task three log lines, a PRODUCER and a CONSUMER span, the event of its
publish and that of its end; one task in fifty fails, with a traceback. A record is 1.3 KB of JSON, mostly
attributes. Publishes come well before the ends, as they do in life: no bulk request holds both events of a task.
"""

import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from celeryscope import otlp, semconv
from pipeline import load
from support import messages

RECORDS_A_TASK = 7
_AT_ONCE = 2_000
"""Tasks that are published before the first of them ends; their publishes alone are more than one bulk request."""
_A_MESSAGE = 10
_SCOPE = otlp.scope("celeryscope", "0")


@dataclass(frozen=True)
class Message:
    """One Kafka message; ``partition`` of as many as there are, modulo."""

    topic: str
    partition: int
    value: bytes


@dataclass(frozen=True)
class _Task:
    id: str
    trace: str
    place: int


def mix(tenant: str, records: int) -> Iterator[Message]:
    """About so many records, all different, in the order in which they are written to Kafka."""
    tasks = max(records // RECORDS_A_TASK, _A_MESSAGE)
    for begin in range(0, tasks, _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, tasks))
        block = [_Task(str(uuid.uuid4()), secrets.token_hex(16), place) for place in numbers]
        parts = [block[at : at + _A_MESSAGE] for at in range(0, len(block), _A_MESSAGE)]
        for place, part in enumerate(parts):
            yield _message("logs", tenant, place, [_sent(task) for task in part])
            yield _message("spans", tenant, place, [_span(task, 4) for task in part])
        for place, part in enumerate(parts):
            records_of = [record for task in part for record in (*_lines(task), load.event(task.place, task.id))]
            yield _message("logs", tenant, place, records_of)
            yield _message("spans", tenant, place, [_span(task, 5) for task in part])


def _message(kind: str, tenant: str, place: int, payloads: list[bytes]) -> Message:
    resource = {
        semconv.SERVICE_NAME: "shop-worker",
        semconv.HOST_NAME: f"worker-{place % 8}",
        "service.version": "1.2.3",
        "service.instance.id": f"worker-{place % 8}-4711",
        "deployment.environment.name": "production",
        "process.pid": 4711 + place % 4,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.1",
        semconv.TENANT: tenant,
    }
    key = (orjson.dumps({"attributes": otlp.attributes(resource)}), _SCOPE)
    topic = semconv.TOPIC_LOGS if kind == "logs" else semconv.TOPIC_TRACES
    return Message(topic, place, bytes(otlp.request(kind, {key: payloads})))


def _sent(task: _Task) -> bytes:
    return messages.event(
        semconv.EVENT_TASK_SENT,
        task.id,
        ORIGIN="gen1234@web-7f9c",
        MESSAGING_SYSTEM="redis",
        MESSAGING_DESTINATION="celery",
        ARGS="('order-4711', 17)",
        KWARGS="{'order': 4711, 'currency': 'EUR'}",
    )


def _lines(task: _Task) -> Iterator[bytes]:
    about: dict[str, Any] = {
        semconv.TASK_ID: task.id,
        semconv.TASK_NAME: "shop.pay",
        semconv.ROOT_ID: task.id,
        semconv.RETRIES: 0,
        semconv.ATTEMPT: f"{task.id}:0",
        semconv.WORKER: "celery@worker-7f9c",
        "code.function.name": "pay",
        "code.file.path": "/srv/shop/payments.py",
        "logger.name": "shop.payments",
    }
    for number in range(3):
        yield messages.line(f"step {number} of the order is done in {time.time():.3f}", **about, order=4711)


def _span(task: _Task, kind: int) -> bytes:
    span = orjson.loads(load.span(0))
    span |= {"traceId": task.trace, "kind": kind, "parentSpanId": secrets.token_hex(8)}
    return orjson.dumps(span)
