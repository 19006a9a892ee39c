"""Snapshots of attempts: from a request (as the worker's main process or a pool process has it) to event attributes.

Pure functions; times are microseconds since the Unix epoch, durations seconds.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from celeryscope import canvas, semconv
from celeryscope.canvas import Getter

ATTEMPT = "_celeryscope_attempt"
"""Attribute of a ``celery.app.task.Context`` that holds its attempt while it runs."""

_STAMPS_MOST = 64


def header_of(request: Getter) -> dict[str, Any]:
    """Our header in a message or request; empty when the publisher isn't instrumented."""
    header = request.get(semconv.HEADER)
    return header if isinstance(header, dict) else {}


def clock_of(header: Mapping[str, Any]) -> int:
    """The clock of the message that carries our header; 0 without one."""
    return int(header.get(semconv.HEADER_CLOCK) or header.get(semconv.HEADER_SENT_AT) or 0)


def root_of(request: Getter, header: Mapping[str, Any]) -> Any:
    """The id of the workflow that a request belongs to; ``header`` is ours."""
    return header.get(semconv.HEADER_ROOT) or request.get("root_id") or request.get("id")


def snapshot(request: Getter, shown: Callable[[Any], str | None]) -> dict[str, Any]:
    """What a request says of its attempt, without state, worker and clock; None for what is not known.

    ``shown``: what to show of the ``repr`` of arguments, and of stamps.
    """
    header = header_of(request)
    delivery_info = request.get("delivery_info") or {}
    task_id, retries = request.get("id"), request.get("retries") or 0
    values = {
        semconv.TASK_ID: task_id,
        semconv.TASK_NAME: request.get("task"),
        semconv.ROOT_ID: root_of(request, header),
        semconv.PARENT_ID: request.get("parent_id"),
        semconv.RETRIES: retries,
        semconv.ATTEMPT: f"{task_id}:{retries}",
        semconv.DELIVERY: header.get(semconv.HEADER_DELIVERY),
        semconv.SENT_AT: header.get(semconv.HEADER_SENT_AT),
        semconv.RECEIVED_AT: header.get(semconv.HEADER_RECEIVED_AT),
        semconv.ETA: microseconds(request.get("eta")),
        semconv.EXPIRES: microseconds(request.get("expires")),
        semconv.ORIGIN: request.get("origin"),
        semconv.MESSAGING_DESTINATION: delivery_info.get("routing_key"),
        semconv.REDELIVERED: delivery_info.get("redelivered") or None,
        semconv.ARGS: shown(request.get("argsrepr")),
        semconv.KWARGS: shown(request.get("kwargsrepr")),
    }
    if stamps := request.get("stamps"):
        values[semconv.STAMPS] = _stamped(stamps, shown)
    values.update(canvas.attributes(request, header))
    return values


def told(source: Getter, shown: Callable[[Any], str | None]) -> dict[str, Any]:
    """Of a request's dict what ``snapshot`` reads, bounded and redacted: what is written down when a task starts."""
    kept = {key: value for key in _TOLD if (value := source.get(key)) is not None}
    if args := source.get("argsrepr"):
        kept["argsrepr"] = args if args in _NO_ARGUMENTS else shown(args)
    if kwargs := source.get("kwargsrepr"):
        kept["kwargsrepr"] = kwargs if kwargs in _NO_ARGUMENTS else shown(kwargs)
    if delivery_info := source.get("delivery_info"):
        kept["delivery_info"] = {key: delivery_info.get(key) for key in ("routing_key", "redelivered")}
    if stamps := source.get("stamps"):
        kept["stamps"] = _stamped(stamps, shown)
    header = header_of(source)
    if semconv.HEADER_SENT_AT not in header and (plan := canvas.plan(source)):
        kept[semconv.HEADER] = header | plan
    return kept


_TOLD = (
    "id",
    "task",
    "root_id",
    "parent_id",
    "retries",
    "eta",
    "expires",
    "origin",
    "group",
    "group_index",
    semconv.HEADER,
)
_NO_ARGUMENTS = ("()", "{}")


def as_told(text: Any) -> str | None:
    """``shown`` for what ``told`` has kept."""
    return text or None


def _stamped(stamps: Mapping[str, Any] | list[str], shown: Callable[[Any], str | None]) -> list[str] | None:
    """``name=value`` of each value of a message's stamps, sorted: Celery makes sets of them; ``told`` makes this."""
    if isinstance(stamps, list):
        pairs = [str(pair) for pair in stamps]
    else:
        pairs = [
            f"{name}={value}"
            for name, values in stamps.items()
            for value in (values if isinstance(values, list | tuple | set | frozenset) else [values])
        ]
    return [text for pair in sorted(pairs)[:_STAMPS_MOST] if (text := shown(pair))] or None


def waiting(values: Mapping[str, Any], started_at: int) -> dict[str, float]:
    """``celery.queue_time`` and ``celery.prefetch_time`` of an attempt; empty when it isn't known when it was sent.

    Their sum is the time between the moment the task could have run (sent, or its eta) and its start. A worker receives
    tasks before their eta; what it holds until then is neither.
    """
    sent_at, received_at = values.get(semconv.SENT_AT), values.get(semconv.RECEIVED_AT)
    if not isinstance(sent_at, int | float):
        return {}
    ready = min(max(sent_at, values.get(semconv.ETA) or 0), started_at)
    known = received_at if isinstance(received_at, int | float) else 0
    received = min(max(known or started_at, ready), started_at)
    return {semconv.QUEUE_TIME: (received - ready) / 1e6, semconv.PREFETCH_TIME: (started_at - received) / 1e6}


def identity(values: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that say which attempt a span or a log line belongs to."""
    return {key: values[key] for key in IDENTITY if values.get(key) is not None}


IDENTITY = (
    semconv.TASK_ID,
    semconv.TASK_NAME,
    semconv.ROOT_ID,
    semconv.RETRIES,
    semconv.ATTEMPT,
    semconv.WORKER,
)


def span_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a task's CONSUMER span says of its attempt from the beginning; None for what is not known."""
    return {key: values.get(key) for key in ON_SPAN} | only_on_span(values.get(semconv.TASK_ID))


def only_on_span(task_id: Any) -> dict[str, Any]:
    """What the span says and the events do not."""
    return {semconv.ACTION: "run", semconv.MESSAGING_MESSAGE_ID: task_id}


ON_SPAN = (
    semconv.TASK_ID,
    semconv.TASK_NAME,
    semconv.ROOT_ID,
    semconv.PARENT_ID,
    semconv.RETRIES,
    semconv.ATTEMPT,
    semconv.DELIVERY,
    semconv.WORKER,
    semconv.QUEUE_TIME,
    semconv.PREFETCH_TIME,
    semconv.MESSAGING_SYSTEM,
    semconv.MESSAGING_DESTINATION,
)
"""What the span and the events of an attempt both say."""


def microseconds(moment: Any) -> int | None:
    """An ISO 8601 string, datetime or POSIX timestamp as microseconds; None when it is none of these."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1_000_000)
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        return int(moment * 1_000_000)
    return None
