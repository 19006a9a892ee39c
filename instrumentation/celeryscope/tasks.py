"""Snapshots of attempts: from a request (as the worker's main process or a pool process has it) to event attributes.

Pure functions; times are microseconds since the Unix epoch, durations seconds.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from celeryscope import semconv

MOST_STEPS = 64
"""Steps of a chain that are told; a chain is rarely longer, and the header travels through the broker."""


class Getter(Protocol):
    """What a message's headers, a request dict and a ``celery.app.task.Context`` have in common."""

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of a key, or the default."""


def header_of(request: Getter) -> dict[str, Any]:
    """Our header in a message or request; empty when the publisher isn't instrumented."""
    header = request.get(semconv.HEADER)
    return header if isinstance(header, dict) else {}


def new_header(sent_at: int, clock: int, embed: Getter) -> dict[str, Any]:
    """The header for a message whose body carries ``embed`` (its chain and chord)."""
    return {semconv.HEADER_SENT_AT: sent_at, semconv.HEADER_CLOCK: clock, **plan(embed)}


def plan(embed: Getter) -> dict[str, Any]:
    """The header's ``chain`` and ``chord`` from Celery's own, where a chain's next step is the last."""
    result: dict[str, Any] = {}
    if chain := embed.get("chain"):
        result[semconv.HEADER_CHAIN] = [_step(signature) for signature in list(chain)[: -MOST_STEPS - 1 : -1]]
    if chord := embed.get("chord"):
        result[semconv.HEADER_CHORD] = _step(chord)
    return result


def _step(signature: Any) -> list[str]:
    """``[task id, task name]``; the id is empty where Celery gives it only when the step is reached."""
    options = signature.get("options") or {}
    return [str(options.get("task_id") or ""), str(signature.get("task") or "")]


def snapshot(request: Getter, shown: Callable[[Any], str | None]) -> dict[str, Any]:
    """What a request says of its attempt, without state, worker and clock; None for what is not known.

    ``shown``: what to show of the ``repr`` of arguments.
    """
    header = header_of(request)
    delivery_info = request.get("delivery_info") or {}
    task_id, retries = request.get("id"), request.get("retries") or 0
    planned = plan(request) | header
    steps = planned.get(semconv.HEADER_CHAIN) or []
    chord = planned.get(semconv.HEADER_CHORD) or [None, None]
    return {
        semconv.TASK_ID: task_id,
        semconv.TASK_NAME: request.get("task"),
        semconv.ROOT_ID: request.get("root_id") or task_id,
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
        semconv.GROUP_ID: request.get("group"),
        semconv.GROUP_INDEX: request.get("group_index"),
        semconv.CHORD_ID: chord[0] or None,
        semconv.CHORD_NAME: chord[1],
        semconv.CHAIN_IDS: [step[0] for step in steps] or None,
        semconv.CHAIN_NAMES: [step[1] for step in steps] or None,
        semconv.REDELIVERED: delivery_info.get("redelivered") or None,
        semconv.ARGS: shown(request.get("argsrepr")),
        semconv.KWARGS: shown(request.get("kwargsrepr")),
    }


def queue_time(values: Mapping[str, Any], started_at: int) -> float | None:
    """Seconds between the moment the task could have run (sent, or its eta) and its start; None when not known."""
    sent_at = values.get(semconv.SENT_AT)
    if sent_at is None:
        return None
    return float(max(started_at - max(sent_at, values.get(semconv.ETA) or 0), 0)) / 1e6


def identity(values: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that say which attempt a span or a log line belongs to."""
    return {key: values[key] for key in _IDENTITY if values.get(key) is not None}


_IDENTITY = (
    semconv.TASK_ID,
    semconv.TASK_NAME,
    semconv.ROOT_ID,
    semconv.RETRIES,
    semconv.ATTEMPT,
    semconv.WORKER,
)


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
