"""The END of nearly all attempts, made at one stroke: a single task that succeeded, and nothing else is to be told.

``state.ended`` makes every END; this makes the same of the commonest ones at a third of the cost, which is most of what
shipping costs a worker. Whatever is not exactly as usual is left to ``state.ended``.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from celeryscope import otlp, semconv, tasks
from celeryscope.spool.state import CONSUMER, End, SpanEnd, Start

_REQUEST: Final = frozenset(
    {"id", "task", "root_id", "parent_id", "retries", "origin", "argsrepr", "kwargsrepr", "delivery_info"}
    | {semconv.HEADER}
)
_HEADER: Final = frozenset(
    {semconv.HEADER_SENT_AT, semconv.HEADER_CLOCK, semconv.HEADER_RECEIVED_AT, semconv.HEADER_DELIVERY}
)
_SAID: Final = frozenset({semconv.LOG_RECORD_UID, semconv.ENDED_AT, semconv.STATE, semconv.RUNTIME, semconv.CLOCK})
_LATEST: Final = 2**62


_PARENT: Final = f'{otlp.head(semconv.PARENT_ID)}{{"stringValue":%s}}}}'


def _texts(*keys: str) -> str:
    return ",".join(f'{otlp.head(key)}{{"stringValue":%s}}}}' for key in keys)


def _integers(*keys: str) -> str:
    return ",".join(f'{otlp.head(key)}{{"intValue":"%d"}}}}' for key in keys)


def _doubles(*keys: str) -> str:
    return ",".join(f'{otlp.head(key)}{{"doubleValue":%r}}}}' for key in keys)


_SHARED: Final = ",".join(
    (
        "%s%s",
        _texts(semconv.TASK_ID, semconv.ROOT_ID, semconv.ATTEMPT, semconv.DELIVERY),
        _doubles(semconv.QUEUE_TIME, semconv.PREFETCH_TIME, semconv.RUNTIME),
        _integers(semconv.CLOCK),
    )
)
"""What the event and the span both say, behind what they say of all attempts of a task in this process."""
_EVENT: Final = (
    '{"timeUnixNano":"%d",%s,"attributes":[%s%s,'
    + _integers(semconv.SENT_AT, semconv.RECEIVED_AT, semconv.STARTED_AT, semconv.ENDED_AT)
    + f',{_texts(semconv.LOG_RECORD_UID)}],"eventName":"{semconv.EVENT_TASK_SUCCEEDED}","traceId":"%s","spanId":"%s"}}'
)
_SPAN: Final = (
    '{"traceId":"%s","spanId":"%s"%s,%s,"startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[%s,%s,'
    + _texts(semconv.MESSAGING_MESSAGE_ID)
    + '],"status":{"code":0}}'
)


class _Task(NamedTuple):
    """What is the same for all attempts of a task in one process, as OTLP/JSON without brackets."""

    shared: str
    on_event: str
    on_span: str
    head_of_event: str
    head_of_span: str


def ended(start: Start, end: End) -> tuple[bytes, bytes] | None:
    """As ``state.ended``, for an END that is as usual; None for any other."""
    request, span, said = start["request"], end["span"], end["attributes"]
    header = request.get(semconv.HEADER)
    if (
        end["event"] != semconv.EVENT_TASK_SUCCEEDED
        or span is None
        or len(span) != 1
        or end["severity"] != "INFO"
        or not start["span_id"]
        or said.keys() != _SAID
        or not isinstance(header, dict)
        or header.keys() != _HEADER
        or not request.keys() <= _REQUEST
    ):
        return None
    return _made(start, end, span, request, header)


def _made(
    start: Start, end: End, span: SpanEnd, request: Mapping[str, Any], header: Mapping[str, Any]
) -> tuple[bytes, bytes] | None:
    sent_at, received_at = header[semconv.HEADER_SENT_AT], header[semconv.HEADER_RECEIVED_AT]
    if not (type(sent_at) is type(received_at) is int and 0 < sent_at < _LATEST and 0 < received_at < _LATEST):
        return None
    task_id, root_id, parent_id = request.get("id"), request.get("root_id"), request.get("parent_id")
    if not root_id or not (type(task_id) is type(root_id) is str and (parent_id is None or type(parent_id) is str)):
        return None
    task = _task_of(start, end, request)
    if task is None:
        return None
    said, started_at, quoted_id = end["attributes"], start["time_ns"] // 1000, otlp.quoted(task_id)
    waited = tasks.waiting({semconv.SENT_AT: sent_at, semconv.RECEIVED_AT: received_at}, started_at)
    shared = _SHARED % (
        task.shared,
        f",{_PARENT % otlp.quoted(parent_id)}" if parent_id is not None else "",
        quoted_id,
        otlp.quoted(root_id),
        otlp.quoted(f"{task_id}:{request.get('retries') or 0}"),
        otlp.quoted(start["delivery"]),
        waited[semconv.QUEUE_TIME],
        waited[semconv.PREFETCH_TIME],
        said[semconv.RUNTIME],
        said[semconv.CLOCK],
    )
    trace_id, span_id = start["trace_id"], start["span_id"]
    times = sent_at, received_at, started_at, said[semconv.ENDED_AT]
    uid = otlp.quoted(said[semconv.LOG_RECORD_UID])
    event = _EVENT % (end["time_ns"], task.head_of_event, shared, task.on_event, *times, uid, trace_id, span_id)
    parent = f',"parentSpanId":"{start["parent_id"]}"' if start["parent_id"] else ""
    during = start["time_ns"], span["ended_ns"]
    made = _SPAN % (trace_id, span_id, parent, task.head_of_span, *during, shared, task.on_span, quoted_id)
    return event.encode(errors="replace"), made.encode(errors="replace")


def _task_of(start: Start, end: End, request: Mapping[str, Any]) -> _Task | None:
    where = request.get("delivery_info") or {}
    if where.get("redelivered"):
        return None
    try:
        return _task(
            start["name"],
            end["body"],
            start["worker"],
            start["system"],
            where.get("routing_key"),
            request.get("retries") or 0,
            request.get("origin"),
            request.get("argsrepr"),
            request.get("kwargsrepr"),
        )
    except TypeError:  # not hashable: a sender of its own kind
        return None


@lru_cache(maxsize=1024, typed=True)
def _task(
    name: str, body: str, worker: Any, system: Any, queue: Any, retries: Any, origin: Any, args: Any, kwargs: Any
) -> _Task:
    shared = {
        semconv.TASK_NAME: name,
        semconv.RETRIES: retries,
        semconv.WORKER: worker,
        semconv.MESSAGING_SYSTEM: system,
        semconv.MESSAGING_DESTINATION: queue,
        semconv.STATE: semconv.STATE_SUCCESS,
    }
    on_event = {semconv.ORIGIN: origin, semconv.ARGS: tasks.as_told(args), semconv.KWARGS: tasks.as_told(kwargs)}
    head_of_event = f'"severityNumber":9,"severityText":"INFO","body":{{"stringValue":{otlp.quoted(body)}}}'
    return _Task(
        otlp.encoded(shared),
        "".join(f",{part}" for part in [otlp.encoded(on_event)] if part),
        otlp.encoded({semconv.ACTION: "run"}),
        head_of_event,
        f'"name":{otlp.quoted(f"run/{name}")},"kind":{CONSUMER}',
    )
