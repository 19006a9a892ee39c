"""The publish of nearly all messages as an array, as ``plain`` does it for starts and successes.

Invariants
1. A SENT frame whose payload is an array holds ``PlainSent``: a message of one task on its own, published where no span
   was current, so that its span is the first of its workflow's trace.
2. ``sent_of`` makes of it what ``state`` would have had: the records made of both are the same.
3. Whatever is not exactly as usual is never written like this (``message_of``).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from celeryscope import canvas, otlp, semconv
from celeryscope.otlp import quoted
from celeryscope.spool import state
from celeryscope.spool.plain import NO_ARGUMENTS, SameForAll, integer_head, shown_arguments, text_head
from celeryscope.spool.state import PRODUCER, Sent


class PlainSent(NamedTuple):
    """As ``Sent``, with what is told of the message in its place."""

    sent_at: int
    """Microseconds."""
    ended_ns: int
    name: str
    system: str
    destination: str | None
    clock: int
    uid: str
    task_id: Any
    root_id: str
    origin: Any
    args: str | None
    kwargs: str | None
    trace_id: str
    span_id: str


SENT_AT: Final = PlainSent._fields.index("sent_at")
"""Where it stands in the array; likewise the next one."""
ENDED_NS: Final = PlainSent._fields.index("ended_ns")
_TOLD: Final = itemgetter(
    *("id", "root_id", "origin", "argsrepr", "kwargsrepr"),
    *("task", "parent_id", "retries", "eta", "expires", "group", "stamps"),
)

Message = tuple[Any, str, Any, str | None, str | None]
"""(task id, root id, origin, args, kwargs)"""


def message_of(headers: Mapping[str, Any], name: str, body: Any, shown: Callable[[Any], str | None]) -> Message | None:
    """What is told of a message that no task publishes; None for one that is not as usual.

    ``shown`` as in ``tasks.told``.
    """
    try:
        task_id, root_id, origin, args, kwargs, task, parent_id, retries, eta, expires, group, stamps = _TOLD(headers)
        _, _, embed = body
        if (
            not (parent_id is eta is expires is group is None)
            or stamps
            or retries
            or task != name
            or name == canvas.UNLOCK
            or type(root_id) is not str
            or not root_id
            or canvas.is_planned(embed)
        ):
            return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    args = args if args in NO_ARGUMENTS else shown(args) if args else None
    kwargs = kwargs if kwargs in NO_ARGUMENTS else shown(kwargs) if kwargs else None
    return task_id, root_id, origin, args, kwargs


def sent_of(told: Sent | list[Any]) -> Sent:
    """The publish in full, to be read only. Raises TypeError for an array of another length."""
    if isinstance(told, dict):
        return told
    sent = PlainSent(*told)
    request = {
        "id": sent.task_id,
        "task": sent.name,
        "root_id": sent.root_id,
        "retries": 0,
        "origin": sent.origin,
        "argsrepr": sent.args,
        "kwargsrepr": sent.kwargs,
        semconv.HEADER: {semconv.HEADER_SENT_AT: sent.sent_at},
    }
    return Sent(
        time_ns=sent.sent_at * 1000,
        started_ns=sent.sent_at * 1000,
        ended_ns=sent.ended_ns,
        name=sent.name,
        system=sent.system,
        destination=sent.destination,
        clock=sent.clock,
        uid=sent.uid,
        request={key: value for key, value in request.items() if value is not None},
        trace_id=sent.trace_id,
        span_id=sent.span_id,
        parent_id="",
    )


def sent(told: Sent | list[Any]) -> tuple[bytes, bytes]:
    """As ``state.sent``."""
    made = at_one_stroke(told) if isinstance(told, list) else None
    return state.sent(sent_of(told)) if made is None else made


# Each stands behind an attribute whose two braces are still open, and so does the next.
_TASK_ID, _ROOT_ID, _ATTEMPT, _ORIGIN, _UID, _MESSAGE_ID = map(
    text_head,
    (
        *(semconv.TASK_ID, semconv.ROOT_ID, semconv.ATTEMPT, semconv.ORIGIN),
        *(semconv.LOG_RECORD_UID, semconv.MESSAGING_MESSAGE_ID),
    ),
)
_CLOCK, _SENT_AT = map(integer_head, (semconv.CLOCK, semconv.SENT_AT))


def at_one_stroke(told: list[Any]) -> tuple[bytes, bytes] | None:
    """The event and the span; None for values of other types than those of a message that Celery has made."""
    (
        sent_at, ended_ns, name, system, destination, clock, uid,
        task_id, root_id, origin, args, kwargs, trace_id, span_id,
    ) = told  # fmt: skip
    if not (type(task_id) is type(root_id) is type(origin) is type(destination) is str):
        return None
    message, quoted_id = _message(name, system, destination), quoted(task_id)
    shared = f'{_TASK_ID}{quoted_id}{_ROOT_ID}{quoted(root_id)}{_ATTEMPT}{quoted_id[:-1]}:0"'
    shown = shown_arguments(args, kwargs)
    event = (
        f'{{"timeUnixNano":"{sent_at}000{message.event}{shared}{_CLOCK}{clock}"{_SENT_AT}{sent_at}"'
        f"{_ORIGIN}{quoted(origin)}{shown}{_UID}{quoted(uid)}"
        f'}}}}],"eventName":"{semconv.EVENT_TASK_SENT}","traceId":"{trace_id}","spanId":"{span_id}"}}'
    )
    span = (
        f'{{"traceId":"{trace_id}","spanId":"{span_id}{message.span}{shared}{_MESSAGE_ID}{quoted_id}'
        f'}}}}],"startTimeUnixNano":"{sent_at}000","endTimeUnixNano":"{ended_ns}","status":{{"code":0}}}}'
    )
    return event.encode(errors="replace"), span.encode(errors="replace")


@lru_cache(maxsize=1024)
def _message(name: str, system: str, destination: str) -> SameForAll:
    shared = {
        semconv.TASK_NAME: name,
        semconv.MESSAGING_SYSTEM: system,
        semconv.MESSAGING_DESTINATION: destination,
        semconv.RETRIES: 0,
    }
    body = quoted(f"Task {name} sent")
    on_event = otlp.encoded(shared | {semconv.STATE: semconv.STATE_SENT})
    on_span = otlp.encoded(shared | {semconv.ACTION: "apply_async"})
    return SameForAll(
        f'","severityNumber":9,"severityText":"INFO","body":{{"stringValue":{body}}},"attributes":[{on_event[:-2]}',
        f'","name":{quoted(f"apply_async/{name}")},"kind":{PRODUCER},"attributes":[{on_span[:-2]}',
    )
