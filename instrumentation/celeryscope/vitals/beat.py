"""Celery beat in events: an entry is due, was sent (how late), or could not be sent.

Every scheduler, also those of other packages, ends in ``Scheduler.apply_async`` for an entry that is due, so this is
what is watched, on the scheduler that beat really uses.
"""

from datetime import datetime, timedelta
from typing import Any

from celeryscope import semconv
from celeryscope.clock import now_us
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder


class BeatWatch:
    """Tells what one scheduler does; each event is a complete snapshot of its entry."""

    def __init__(self, recorder: Recorder, scheduler: Any) -> None:
        self._recorder = recorder
        self._scheduler = scheduler
        self._started_at = now_us()

    def attach(self) -> None:
        """See every entry that the scheduler sends from now on."""
        apply_async = self._scheduler.apply_async

        def watched(entry: Any, *args: Any, **kwargs: Any) -> Any:
            run: dict[str, Any] = {}
            self._due(run, entry)
            try:
                result = apply_async(entry, *args, **kwargs)
            except Exception as error:
                self._failed(run, error)
                raise
            self._sent(run, result)
            return result

        self._scheduler.apply_async = watched

    @guarded
    def _due(self, run: dict[str, Any], entry: Any) -> None:
        """Fill ``run`` with what is known of this run, and tell it."""
        now, schedule = now_us(), entry.schedule
        due_at = _after(now, schedule.remaining_estimate(entry.last_run_at))
        interval = getattr(schedule, "run_every", None)
        run |= {
            semconv.SCHEDULE: entry.name,
            semconv.TASK_NAME: entry.task,
            semconv.SCHEDULE_RULE: repr(schedule),
            semconv.SCHEDULE_INTERVAL: interval.total_seconds() if isinstance(interval, timedelta) else None,
            semconv.BEAT_STARTED_AT: self._started_at,
            semconv.SCHEDULE_RUNS: entry.total_run_count,
            semconv.BEAT_LAST_RUN_AT: _moment(schedule, entry.last_run_at),
            semconv.BEAT_DUE_AT: due_at,
            semconv.BEAT_NEXT_AT: _after(now, schedule.remaining_estimate(schedule.now())),
            semconv.BEAT_LATE: None if due_at is None else max(now - due_at, 0) / 1e6,
        }
        self._emit(semconv.EVENT_BEAT_DUE, run, "INFO", f"Schedule {entry.name} is due")

    @guarded
    def _sent(self, run: dict[str, Any], result: Any) -> None:
        if run:
            values = run | {semconv.TASK_ID: getattr(result, "id", None)}
            self._emit(semconv.EVENT_BEAT_SENT, values, "INFO", f"Schedule {run[semconv.SCHEDULE]} sent")

    @guarded
    def _failed(self, run: dict[str, Any], error: Exception) -> None:
        if run:
            # Celery wraps what happened into a SchedulingError.
            cause = error.__cause__ or error.__context__ or error
            told = self._recorder.describe(cause)
            body = f"Schedule {run[semconv.SCHEDULE]} could not be sent: {told[semconv.EXCEPTION_MESSAGE]}"
            self._emit(semconv.EVENT_BEAT_FAILED, run | told, "ERROR", body)

    def _emit(self, event: str, values: dict[str, Any], severity: str, body: str) -> None:
        self._recorder.event(event, values | {semconv.CLOCK: self._recorder.clock.tick()}, severity=severity, body=body)


def _after(now: int, remaining: timedelta | None) -> int | None:
    """Microseconds since the epoch of a moment that is ``remaining`` away, which is negative when it is past."""
    return None if remaining is None else now + int(remaining.total_seconds() * 1_000_000)


def _moment(schedule: Any, at: datetime | None) -> int | None:
    return None if at is None else int(schedule.maybe_make_aware(at).timestamp() * 1_000_000)
