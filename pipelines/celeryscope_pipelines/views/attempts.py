"""The attempt of a task, read from its entity document."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

from celeryscope import semconv
from celeryscope_pipelines.views.documents import fields, instant, integer, iso, number, strings, text

_CONTINUING = frozenset({semconv.STATE_SUCCESS, semconv.STATE_RETRY})


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last snapshot of one attempt; times are in UTC, durations in seconds."""

    task_id: str
    name: str
    state: str
    retries: int = 0
    clock: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    sent_at: datetime | None = None
    received_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    eta: datetime | None = None
    retry_eta: datetime | None = None
    queue_time: float | None = None
    prefetch_time: float | None = None
    runtime: float | None = None
    worker: str | None = None
    queue: str | None = None
    service: str | None = None
    group_id: str | None = None
    group_index: int | None = None
    chord_id: str | None = None
    chord_name: str | None = None
    chain: tuple[tuple[str, str], ...] = ()
    """Tasks planned to follow, (id, name); the id is empty where Celery gives it only when the task is reached."""
    chain_after: tuple[tuple[int, ...], ...] = ()
    """For each, the numbers from 1 of those that have to succeed first (0: this task); empty: always the one before."""
    args: str | None = None
    kwargs: str | None = None
    exception_type: str | None = None
    exception_message: str | None = None
    retry_reason: str | None = None
    failure_kind: str | None = None
    failure_title: str | None = None
    fingerprint: str | None = None
    culprit: str | None = None
    trace_id: str | None = None

    @property
    def planned(self) -> list[tuple[tuple[str, str], tuple[int, ...]]]:
        """The tasks planned to follow, each with the numbers of those that have to succeed first."""
        known = len(self.chain_after)
        return [
            (step, self.chain_after[number] if number < known else (number,)) for number, step in enumerate(self.chain)
        ]

    @property
    def final(self) -> bool:
        """Whether the attempt does not go on."""
        return self.state in semconv.FINAL_STATES

    @property
    def failed(self) -> bool:
        """Whether the attempt ended in a failure."""
        return self.state in semconv.FAILED_STATES

    @property
    def stops_the_workflow(self) -> bool:
        """Whether what was planned to follow this task can no longer happen."""
        return self.final and self.state not in _CONTINUING

    @property
    def first_time(self) -> datetime | None:
        """The earliest thing known of the attempt."""
        return self.sent_at or self.received_at or self.started_at or self.ended_at

    @property
    def problem(self) -> str | None:
        """``Type: message`` of the exception, or the reason of a retry; None when nothing went wrong."""
        if self.exception_type and self.exception_message:
            return f"{self.exception_type}: {self.exception_message}"
        return self.exception_type or self.exception_message or self.retry_reason or self.failure_title


def attempt_from(source: Mapping[str, Any]) -> Attempt:
    """The attempt that a document of ``celery-tasks-*`` describes; what the document lacks is None."""
    known = fields(source)
    task_id = text(known.get(semconv.TASK_ID)) or "?"
    group_index = known.get(semconv.GROUP_INDEX)
    plain: dict[str, Any] = {
        **{field: instant(known.get(name)) for field, name in _TIMES.items()},
        **{field: text(known.get(name)) for field, name in _TEXTS.items()},
    }
    return Attempt(
        task_id=task_id,
        name=text(known.get(semconv.TASK_NAME)) or "(unnamed task)",
        state=text(known.get(semconv.STATE)) or "?",
        retries=integer(known.get(semconv.RETRIES)),
        clock=integer(known.get(semconv.CLOCK)),
        queue_time=number(known.get(semconv.QUEUE_TIME)),
        prefetch_time=number(known.get(semconv.PREFETCH_TIME)),
        runtime=number(known.get(semconv.RUNTIME)),
        group_index=None if group_index is None else integer(group_index),
        chain=_chain(known),
        chain_after=tuple(_numbers(after) for after in strings(known.get(semconv.CHAIN_AFTER))),
        **plain,
    )


def _chain(known: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    ids, names = strings(known.get(semconv.CHAIN_IDS)), strings(known.get(semconv.CHAIN_NAMES))
    return tuple((step, name) for step, name in zip_longest(ids, names[: len(ids)], fillvalue="(unnamed task)"))


def _numbers(after: str) -> tuple[int, ...]:
    return tuple(int(number) for number in after.split(",") if number.isdecimal())


_TIMES = {
    "sent_at": semconv.SENT_AT,
    "received_at": semconv.RECEIVED_AT,
    "started_at": semconv.STARTED_AT,
    "ended_at": semconv.ENDED_AT,
    "eta": semconv.ETA,
    "retry_eta": semconv.RETRY_ETA,
}
_TEXTS = {
    "root_id": semconv.ROOT_ID,
    "parent_id": semconv.PARENT_ID,
    "worker": semconv.WORKER,
    "queue": semconv.MESSAGING_DESTINATION,
    "service": semconv.SERVICE_NAME,
    "group_id": semconv.GROUP_ID,
    "chord_id": semconv.CHORD_ID,
    "chord_name": semconv.CHORD_NAME,
    "args": semconv.ARGS,
    "kwargs": semconv.KWARGS,
    "exception_type": semconv.EXCEPTION_TYPE,
    "exception_message": semconv.EXCEPTION_MESSAGE,
    "retry_reason": semconv.RETRY_REASON,
    "failure_kind": semconv.FAILURE_KIND,
    "failure_title": semconv.FAILURE_TITLE,
    "fingerprint": semconv.FINGERPRINT,
    "culprit": semconv.CULPRIT,
    "trace_id": "trace_id",
}


def attempt_dict(attempt: Attempt) -> dict[str, Any]:
    """The attempt for ``--json``: times in ISO 8601, durations in seconds, None for what is not known."""
    times = {field: iso(getattr(attempt, field)) for field in _TIMES}
    texts = {field: getattr(attempt, field) for field in _TEXTS}
    return {
        "task_id": attempt.task_id,
        "name": attempt.name,
        "attempt": attempt.retries + 1,
        "retries": attempt.retries,
        "state": attempt.state,
        **times,
        "queue_time": attempt.queue_time,
        "prefetch_time": attempt.prefetch_time,
        "runtime": attempt.runtime,
        "group_index": attempt.group_index,
        "planned": [{"task_id": step, "name": name, "after": after} for (step, name), after in attempt.planned],
        **texts,
    }
