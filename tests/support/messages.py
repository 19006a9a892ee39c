"""OTLP requests as the collector puts them into Kafka, made with the worker's own encoder."""

import base64
import itertools
import secrets
import time
from typing import Any

import orjson
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from celeryscope import otlp, semconv

_number = itertools.count(1)
_REQUESTS = {"logs": ExportLogsServiceRequest, "spans": ExportTraceServiceRequest}
_IDS = ("traceId", "spanId", "parentSpanId")
TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/app/.venv/lib/python3.12/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/shop/payments.py", line 40, in pay
    gateway.charge(order)
  File "/srv/shop/gateway.py", line 12, in charge
    raise TimeoutError("no answer")
TimeoutError: no answer after 30 s
"""


def now_us() -> int:
    return time.time_ns() // 1000


def event(name: str, task_id: str, clock: int | None = None, **attributes: Any) -> bytes:
    """A task's event as one OTLP/JSON log record; attributes by semconv's constant name, e.g. TASK_NAME."""
    sent_at = attributes.pop("SENT_AT", now_us())
    values = {
        semconv.LOG_RECORD_UID: f"{secrets.token_hex(8)}-{next(_number)}",
        semconv.TASK_ID: task_id,
        semconv.TASK_NAME: "shop.pay",
        semconv.ROOT_ID: task_id,
        semconv.RETRIES: 0,
        semconv.ATTEMPT: f"{task_id}:0",
        semconv.STATE: semconv.TASK_STATES[name],
        semconv.CLOCK: clock or now_us(),
        semconv.SENT_AT: sent_at,
        semconv.WORKER: "celery@test",
        **{getattr(semconv, key): value for key, value in attributes.items()},
    }
    failed = semconv.TASK_STATES[name] in semconv.FAILED_STATES
    if failed:
        values = {
            semconv.EXCEPTION_TYPE: "TimeoutError",
            semconv.EXCEPTION_MESSAGE: "no answer after 30 s",
            semconv.EXCEPTION_STACKTRACE: TRACEBACK,
            semconv.FAILURE_KIND: semconv.KIND_EXCEPTION,
            **values,
        }
    return otlp.log_record(
        time_ns=time.time_ns(),
        attributes=otlp.encoded(values),
        body=f"{name} {task_id}",
        severity_text="ERROR" if failed else "INFO",
        event_name=name,
    )


def vital(name: str, **attributes: Any) -> bytes:
    """An event of a worker, queue, broker or schedule; attributes by their own names."""
    values = {semconv.LOG_RECORD_UID: f"{secrets.token_hex(8)}-{next(_number)}", semconv.CLOCK: now_us(), **attributes}
    return otlp.log_record(
        time_ns=time.time_ns(), attributes=otlp.encoded(values), body=name, severity_text="INFO", event_name=name
    )


def line(text: str, **attributes: Any) -> bytes:
    """A log line of an application."""
    uid = f"{secrets.token_hex(8)}-{next(_number)}"
    values: dict[str, Any] = {semconv.LOG_RECORD_UID: uid, **attributes}
    return otlp.log_record(time_ns=time.time_ns(), attributes=otlp.encoded(values), body=text, severity_text="INFO")


def span(trace_id: str, span_id: str, **attributes: Any) -> bytes:
    """A CONSUMER span of 20 ms."""
    start = time.time_ns()
    return orjson.dumps(
        {
            "traceId": trace_id,
            "spanId": span_id,
            "name": "run/shop.pay",
            "kind": 5,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + 20_000_000),
            "attributes": otlp.attributes(attributes),
            "status": {"code": 1},
        }
    )


def request(kind: str, tenant: str, *payloads: bytes, **resource: str) -> bytes:
    """An export request of kind "spans" or "logs", as the collector leaves it; ``resource`` as in ``event``."""
    known = {semconv.SERVICE_NAME: "shop", semconv.HOST_NAME: "h1", semconv.TENANT: tenant}
    known |= {getattr(semconv, key): value for key, value in resource.items()}
    key = (orjson.dumps({"attributes": otlp.attributes(known)}), otlp.scope("celeryscope", "0"))
    return otlp.request(kind, {key: payloads})


def as_protobuf(kind: str, request: bytes) -> bytes:
    """The same request in protobuf; ``kind`` "spans" or "logs"."""
    parsed = orjson.loads(request)
    _with_base64_ids(parsed)
    return bytes(ParseDict(parsed, _REQUESTS[kind]()).SerializeToString())


def _with_base64_ids(part: Any) -> None:
    # Protobuf's own JSON has bytes in base64; OTLP/JSON has these in hexadecimal.
    if isinstance(part, dict):
        for name in _IDS:
            if name in part:
                part[name] = base64.b64encode(bytes.fromhex(part[name])).decode()
        part = list(part.values())
    if isinstance(part, list):
        for member in part:
            _with_base64_ids(member)
