"""Requests as Celery workers send them: for each task its event and its run's span, in OTLP/JSON or protobuf.

Made with the worker's own encoder. One task in fifty fails, with a traceback; one in ten belongs to a chain, whose plan
is in arrays. The events have 20 to 25 attributes, the spans 14.
"""

import secrets
import uuid
from typing import Any

import orjson

from celeryscope import otlp, semconv
from support import messages

LOGS, SPANS = "logs", "spans"
FAILS_EACH, _CHAIN_EACH = 50, 10


def requests(kind: str, number: int, items: int) -> list[bytes]:
    """So many OTLP/JSON requests of so many events (``LOGS``) or spans (``SPANS``) each, all different."""
    make = {LOGS: event, SPANS: span}[kind]
    return [_request(kind, [make(place) for place in range(items)]) for _ in range(number)]


def event(place: int, task_id: str = "") -> bytes:
    """The event of a task's end; the last place of each fifty fails."""
    task_id = task_id or str(uuid.uuid4())
    failed = place % FAILS_EACH == FAILS_EACH - 1
    more: dict[str, Any] = {"KWARGS": "{'order': 4711, 'currency': 'EUR'}"} if place % 2 else {}
    if place % _CHAIN_EACH == 0:
        ids = [str(uuid.uuid4()) for _ in range(3)]
        more |= {"CHAIN_INDEX": 0, "CHAIN_LENGTH": 4, "CHAIN_IDS": ids, "CHAIN_NAMES": ["shop.tasks.ship"] * 3}
    now = messages.now_us()
    return messages.event(
        semconv.EVENT_TASK_FAILED if failed else semconv.EVENT_TASK_SUCCEEDED,
        task_id,
        DELIVERY=secrets.token_hex(8),
        RECEIVED_AT=now,
        STARTED_AT=now,
        ENDED_AT=now,
        QUEUE_TIME=0.012345,
        PREFETCH_TIME=0.000456,
        RUNTIME=0.123456,
        ORIGIN="gen1234@web-7f9c",
        MESSAGING_SYSTEM="redis",
        MESSAGING_DESTINATION="celery",
        ARGS="('order-4711', 17)",
        **more,
    )


def span(place: int) -> bytes:
    """The span of a task's run."""
    task_id = str(uuid.uuid4())
    attributes = {
        semconv.TASK_ID: task_id,
        semconv.TASK_NAME: "shop.tasks.pay",
        semconv.ROOT_ID: task_id,
        semconv.RETRIES: 0,
        semconv.ATTEMPT: f"{task_id}:0",
        semconv.STATE: semconv.STATE_SUCCESS,
        semconv.CLOCK: messages.now_us(),
        semconv.ACTION: "run",
        semconv.WORKER: "celery@worker-7f9c",
        semconv.QUEUE_TIME: 0.012345,
        semconv.RUNTIME: 0.123456,
        semconv.MESSAGING_SYSTEM: "redis",
        semconv.MESSAGING_DESTINATION: "celery",
        "messaging.message.id": task_id,
    }
    return messages.span(secrets.token_hex(16), secrets.token_hex(8), **attributes)


def _request(kind: str, payloads: list[bytes]) -> bytes:
    resource = {
        semconv.SERVICE_NAME: "shop",
        semconv.HOST_NAME: "worker-7f9c",
        "service.version": "1.2.3",
        "service.instance.id": str(uuid.uuid4()),
        "deployment.environment.name": "production",
        "process.pid": 4711,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.1",
    }
    key = (orjson.dumps({"attributes": otlp.attributes(resource)}), otlp.scope("celeryscope", "0"))
    return bytes(otlp.request(kind, {key: payloads}))
