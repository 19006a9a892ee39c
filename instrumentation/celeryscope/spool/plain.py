"""The start and the success of nearly all attempts, shorter still: a single task, and nothing else is to be told.

Where ``state`` has objects, these are arrays: what they hold stands at a fixed place. A worker writes them at half the
cost, and the shipper makes OTLP/JSON of both at one stroke, at a third of what ``state.ended`` takes.

Invariants
1. A START frame whose payload is an array holds ``PlainStart``, and has a span; an END frame's is ``PlainEnd``. That
   tells of a success, and of a span on which nobody has set anything; its start is an array, too.
2. ``start_of`` and ``end_of`` make of them what ``state`` would have had: the records made of both are the same.
3. Whatever is not exactly as usual is never written like this (``request_of``).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from celeryscope import otlp, semconv
from celeryscope.otlp import quoted
from celeryscope.spool import state
from celeryscope.spool.state import CONSUMER, End, SpanEnd, Start

Told = Start | list[Any]
"""A start as its frame holds it; a list is a ``PlainStart``."""


class PlainRequest(NamedTuple):
    """What is told of a request; as ``tasks.told``, with None for what it leaves out."""

    task_id: Any
    root_id: Any
    parent_id: Any
    retries: Any
    origin: Any
    args: str | None
    kwargs: str | None
    queue: Any
    sent_at: Any
    received_at: Any


class PlainStart(NamedTuple):
    """As ``Start``; an array has the fields of ``request`` in its place."""

    time_ns: int
    name: str
    delivery: str
    worker: str | None
    system: str
    clock: int
    uid: str
    request: PlainRequest
    trace_id: str
    span_id: str
    parent_id: str


class PlainEnd(NamedTuple):
    """When the attempt and its span ended, the event's clock and its uid."""

    time_ns: int
    clock: int
    uid: str


TIME_NS: Final = PlainStart._fields.index("time_ns")
"""Where it stands in the array; likewise the next one."""
NAME: Final = PlainStart._fields.index("name")
_WORKER: Final = PlainStart._fields.index("worker")
_BEFORE_REQUEST: Final = PlainStart._fields.index("request")
_REQUEST_END: Final = _BEFORE_REQUEST + len(PlainRequest._fields)
_TOLD: Final = itemgetter(
    *("id", "root_id", "parent_id", "retries", "origin", "argsrepr", "kwargsrepr", "delivery_info"),
    *("task", "eta", "expires", "group", "stamps", semconv.HEADER),
)
_WHERE: Final = itemgetter("routing_key", "redelivered")
_STAMPED: Final = itemgetter(
    semconv.HEADER_SENT_AT, semconv.HEADER_RECEIVED_AT, semconv.HEADER_DELIVERY, semconv.HEADER_CLOCK
)
_STAMPS: Final = 4
NO_ARGUMENTS: Final = ("()", "{}")
"""There is nothing to hide in these."""
_LATEST: Final = 2**62


Known = tuple[str, int, tuple[Any, ...]]
"""(delivery, clock of its message, the fields of ``PlainRequest``)"""


def request_of(source: Mapping[str, Any], name: str, shown: Callable[[Any], str | None]) -> Known | None:
    """What is told of a request to run the task ``name``; None for one that is not as usual.

    ``shown`` as in ``tasks.told``.
    """
    try:
        told = _TOLD(source)
        task_id, root_id, parent_id, retries, origin, args, kwargs, where, task, eta, expires, group, stamps, header = (
            told
        )
        sent_at, received_at, delivery, clock = _STAMPED(header)
        queue, redelivered = _WHERE(where)
    except (KeyError, TypeError):
        return None
    if (
        not (eta is expires is group is None)
        or stamps
        or redelivered
        or len(header) != _STAMPS
        or type(clock) is not int
        or task != name
        or not root_id
    ):
        return None
    args = args if args in NO_ARGUMENTS else shown(args) if args else None
    kwargs = kwargs if kwargs in NO_ARGUMENTS else shown(kwargs) if kwargs else None
    fields = task_id, root_id, parent_id, retries or 0, origin, args, kwargs, queue, sent_at, received_at
    return delivery, clock, fields


def identity(start: list[Any]) -> dict[str, Any]:
    """As ``tasks.identity``."""
    task_id, root_id, _, retries = start[_BEFORE_REQUEST : _BEFORE_REQUEST + 4]
    known = {
        semconv.TASK_ID: task_id,
        semconv.TASK_NAME: start[NAME],
        semconv.ROOT_ID: root_id,
        semconv.RETRIES: retries,
        semconv.ATTEMPT: f"{task_id}:{retries}",
        semconv.WORKER: start[_WORKER],
    }
    return {key: value for key, value in known.items() if value is not None}


def start_of(told: Told) -> Start:
    """The start in full, to be read only. Raises TypeError for an array of another length."""
    if isinstance(told, dict):
        return told
    request = PlainRequest(*told[_BEFORE_REQUEST:_REQUEST_END])
    start = PlainStart._make((*told[:_BEFORE_REQUEST], request, *told[_REQUEST_END:]))
    return Start(
        time_ns=start.time_ns,
        name=start.name,
        delivery=start.delivery,
        worker=start.worker,
        system=start.system,
        clock=start.clock,
        uid=start.uid,
        request=_request(request, start.delivery),
        trace_id=start.trace_id,
        span_id=start.span_id,
        parent_id=start.parent_id,
    )


def _request(request: PlainRequest, delivery: str) -> dict[str, Any]:
    known = {
        "id": request.task_id,
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "retries": request.retries,
        "origin": request.origin,
        "argsrepr": request.args,
        "kwargsrepr": request.kwargs,
        "delivery_info": {"routing_key": request.queue, "redelivered": False},
        semconv.HEADER: {
            semconv.HEADER_SENT_AT: request.sent_at,
            semconv.HEADER_RECEIVED_AT: request.received_at,
            semconv.HEADER_DELIVERY: delivery,
        },
    }
    return {key: value for key, value in known.items() if value is not None}


def end_of(told: End | list[Any], start: Start) -> End:
    """The end in full. Raises TypeError for an array of another length."""
    if isinstance(told, dict):
        return told
    end = PlainEnd(*told)
    said = {
        semconv.LOG_RECORD_UID: end.uid,
        semconv.ENDED_AT: end.time_ns // 1000,
        semconv.STATE: semconv.STATE_SUCCESS,
        semconv.RUNTIME: (end.time_ns - start["time_ns"]) / 1e9,
        semconv.CLOCK: end.clock,
    }
    return End(
        event=semconv.EVENT_TASK_SUCCEEDED,
        time_ns=end.time_ns,
        severity="INFO",
        body=f"Task {start['name']} succeeded",
        attributes=said,
        span=SpanEnd(ended_ns=end.time_ns),
    )


def ended(start: Told, end: End | list[Any]) -> tuple[bytes | None, bytes | None]:
    """As ``state.ended``."""
    made = at_one_stroke(start, end) if type(start) is type(end) is list else None
    if made is not None:
        return made
    in_full = start_of(start)
    return state.ended(in_full, end_of(end, in_full))


def text_head(key: str) -> str:
    """What stands before a text, behind an attribute whose two braces are still open."""
    return f'}}}},{otlp.head(key)}{{"stringValue":'


def _double(key: str) -> str:
    return f'}}}},{otlp.head(key)}{{"doubleValue":'


def integer_head(key: str) -> str:
    """What stands before an integer, behind an attribute whose two braces are still open."""
    return f'}}}},{otlp.head(key)}{{"intValue":"'


# Each stands behind an attribute whose two braces are still open, and so does the next.
_TASK_ID, _ROOT_ID, _PARENT_ID, _ATTEMPT, _DELIVERY, _ORIGIN, _ARGS, _KWARGS, _UID, _MESSAGE_ID = map(
    text_head,
    (
        *(semconv.TASK_ID, semconv.ROOT_ID, semconv.PARENT_ID, semconv.ATTEMPT, semconv.DELIVERY),
        *(semconv.ORIGIN, semconv.ARGS, semconv.KWARGS, semconv.LOG_RECORD_UID, semconv.MESSAGING_MESSAGE_ID),
    ),
)
_QUEUE_TIME, _PREFETCH_TIME, _RUNTIME = map(_double, (semconv.QUEUE_TIME, semconv.PREFETCH_TIME, semconv.RUNTIME))
_RETRIES, _CLOCK, _SENT_AT, _RECEIVED_AT, _STARTED_AT, _ENDED_AT = map(
    integer_head,
    (
        *(semconv.RETRIES, semconv.CLOCK, semconv.SENT_AT),
        *(semconv.RECEIVED_AT, semconv.STARTED_AT, semconv.ENDED_AT),
    ),
)


def at_one_stroke(start: list[Any], end: list[Any]) -> tuple[bytes, bytes] | None:
    """The event and the span; None for values of other types than those of a message that Celery has made."""
    (
        time_ns, name, delivery, worker, system, _, _,
        task_id, root_id, parent_id, retries, origin, args, kwargs, queue, sent_at, received_at,
        trace_id, span_id, above,
    ) = start  # fmt: skip
    ended_ns, clock, uid = end
    if not (
        type(task_id) is type(root_id) is type(origin) is type(queue) is type(worker) is str
        and (parent_id is None or type(parent_id) is str)
        and type(retries) is type(sent_at) is type(received_at) is int
        and (0 < sent_at < _LATEST and 0 < received_at < _LATEST)
    ):
        return None
    task = _task(name, worker, system, queue)
    quoted_id, started_at = quoted(task_id), time_ns // 1000
    ready = min(sent_at, started_at)
    received = min(max(received_at, ready), started_at)
    parent = "" if parent_id is None else f"{_PARENT_ID}{quoted(parent_id)}"
    waited, prefetched = (received - ready) / 1e6, (started_at - received) / 1e6
    shared = (
        f"{_TASK_ID}{quoted_id}{_ROOT_ID}{quoted(root_id)}{parent}{_ATTEMPT}{quoted_id[:-1]}:{retries}"
        f'"{_DELIVERY}{quoted(delivery)}{_QUEUE_TIME}{waited}{_PREFETCH_TIME}{prefetched}'
        f'{_RUNTIME}{(ended_ns - time_ns) / 1e9}{_RETRIES}{retries}"{_CLOCK}{clock}"'
    )
    shown = shown_arguments(args, kwargs)
    event = (
        f'{{"timeUnixNano":"{ended_ns}{task.event}{shared}{_ORIGIN}{quoted(origin)}{shown}{_SENT_AT}{sent_at}"'
        f'{_RECEIVED_AT}{received_at}"{_STARTED_AT}{started_at}"{_ENDED_AT}{ended_ns // 1000}"{_UID}{quoted(uid)}'
        f'}}}}],"eventName":"{semconv.EVENT_TASK_SUCCEEDED}","traceId":"{trace_id}","spanId":"{span_id}"}}'
    )
    span = (
        f'{{"traceId":"{trace_id}","spanId":"{span_id}","parentSpanId":"{above}{task.span}{shared}{_MESSAGE_ID}'
        f'{quoted_id}}}}}],"startTimeUnixNano":"{time_ns}","endTimeUnixNano":"{ended_ns}","status":{{"code":0}}}}'
    )
    return event.encode(errors="replace"), span.encode(errors="replace")


def shown_arguments(args: str, kwargs: str) -> str:
    """The attributes of a task's arguments, of which those that are empty have none."""
    shown = f"{_ARGS}{quoted(args)}" if args else ""
    return f"{shown}{_KWARGS}{quoted(kwargs)}" if kwargs else shown


class SameForAll(NamedTuple):
    """Of an event and a span, what stands between the first number or id and the attributes that are each one's own."""

    event: str
    span: str


@lru_cache(maxsize=1024)
def _task(name: str, worker: str, system: str, queue: str) -> SameForAll:
    on_both = otlp.encoded(
        {
            semconv.TASK_NAME: name,
            semconv.WORKER: worker,
            semconv.MESSAGING_SYSTEM: system,
            semconv.MESSAGING_DESTINATION: queue,
            semconv.STATE: semconv.STATE_SUCCESS,
        }
    )
    body = quoted(f"Task {name} succeeded")
    action = otlp.encoded({semconv.ACTION: "run"})
    return SameForAll(
        f'","severityNumber":9,"severityText":"INFO","body":{{"stringValue":{body}}},"attributes":[{on_both[:-2]}',
        f'","name":{quoted(f"run/{name}")},"kind":{CONSUMER},"attributes":[{on_both},{action[:-2]}',
    )
