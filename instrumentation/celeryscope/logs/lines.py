"""What is sent of a log line, whichever library it comes from."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from celery._state import get_current_task
from opentelemetry import trace

from celeryscope import semconv, tasks
from celeryscope.logs.levels import Levels
from celeryscope.logs.rate_limit import RateLimit
from celeryscope.recorder import Recorder
from celeryscope.running import Attempt, attempt_of

_SEVERITIES: Final = (
    (logging.CRITICAL, "FATAL"),
    (logging.ERROR, "ERROR"),
    (logging.WARNING, "WARN"),
    (logging.INFO, "INFO"),
)


def current_attempt() -> Attempt | None:
    """The attempt that the calling thread runs."""
    task = get_current_task()
    return attempt_of(task.request) if task is not None else None


def context_ids(attempt: Attempt | None) -> tuple[int, int]:
    """(trace id, span id) of the current span, else of the attempt; zeros outside both."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        return span.trace_id, span.span_id
    return attempt.context if attempt else (0, 0)


class Lines:
    """Decides which lines are sent, and writes them, redacted."""

    def __init__(self, recorder: Recorder) -> None:
        settings = recorder.settings
        self._recorder = recorder
        self._levels = Levels(settings.log_level, settings.log_levels, settings.log_exclude)
        self._limit = RateLimit(settings.log_rate_limit, self._tell_left_out)
        self.lowest = self._levels.lowest
        """The lowest level of which anything is sent."""

    def wants(self, logger: str, level: int) -> bool:
        """Whether a line is to be sent; one that the rate limit refuses is counted. Ask once for each line."""
        return level >= self._levels.of(logger) and self._limit.allows(logger, level >= logging.ERROR)

    def write(
        self,
        logger: str,
        level: int,
        body: str,
        *,
        about: Mapping[str, Any],
        fields: Mapping[Any, Any],
        error: BaseException | None = None,
        time_ns: int | None = None,
        scope: str,
    ) -> None:
        """Write a line. ``about``: what we know of it, ``fields``: what its writer said, of whatever type."""
        attempt = current_attempt()
        values: dict[str, Any] = self._recorder.redactor.fields(fields) if fields else {}
        if attempt is not None:
            values |= tasks.identity(attempt.values)
        values |= about
        values[semconv.LOGGER_NAME] = logger
        if error is not None:
            values |= self._recorder.describe(error)
        self._recorder.log(
            values,
            severity=next((name for least, name in _SEVERITIES if level >= least), "DEBUG"),
            body=self._recorder.redacted(body),
            time_ns=time_ns,
            context=context_ids(attempt),
            scope=scope,
        )

    def tell_left_out(self) -> None:
        """Tell how many lines were left out, as far as it is not told yet; before the process ends."""
        self._limit.tell()

    def _tell_left_out(self, logger: str, left_out: int, seconds: float) -> None:
        limit = self._recorder.settings.log_rate_limit
        lines = f"{left_out} line{'s' if left_out > 1 else ''} of logger {logger or 'of many names'}"
        self._recorder.log(
            {semconv.LOGGER_NAME: logger, semconv.LOG_LEFT_OUT: left_out},
            severity="WARN",
            body=f"celeryscope left out {lines} in {seconds:.1f} s: it had more than {limit:g} a second",
        )
