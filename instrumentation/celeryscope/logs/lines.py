"""What is sent of a log line, whichever library it comes from."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from celery._state import get_current_task
from opentelemetry import trace

from celeryscope import otlp, semconv, tasks
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
_OURS: Final = frozenset(
    {
        semconv.LOGGER_NAME,
        semconv.THREAD_NAME,
        semconv.CODE_FILE,
        semconv.CODE_FUNCTION,
        semconv.CODE_LINE,
        semconv.LOG_RECORD_UID,
        *tasks.IDENTITY,
    }
)
_NOTHING: Final[Mapping[str, Any]] = {}


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


@lru_cache(maxsize=4096)
def place(logger: str, path: str, function: str, line: int, thread: str) -> str:
    """Where lines come from, as attributes made by ``otlp.encoded``: few places say most of the lines."""
    return otlp.encoded(
        {
            semconv.LOGGER_NAME: logger,
            semconv.CODE_FILE: path,
            semconv.CODE_FUNCTION: function,
            semconv.CODE_LINE: line,
            semconv.THREAD_NAME: thread,
        }
    )


@lru_cache(maxsize=4096)
def _place(logger: str) -> str:
    return otlp.encoded({semconv.LOGGER_NAME: logger})


@lru_cache(maxsize=64)
def _severity(level: int) -> str:
    return next((name for least, name in _SEVERITIES if level >= least), "DEBUG")


def _identity(attempt: Attempt) -> str:
    attempt.in_lines = attempt.in_lines or otlp.encoded(attempt.identity)
    return attempt.in_lines


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
        fields: Mapping[Any, Any],
        place: str = "",
        about: Mapping[str, Any] = _NOTHING,
        error: BaseException | None = None,
        time_ns: int | None = None,
        scope: str,
    ) -> None:
        """Write a line.

        ``fields``: what its writer said, of whatever type; ``place``: where it comes from, made by ``place``;
        ``about``: the task that it is about, when that isn't the one that runs.
        """
        attempt = current_attempt()
        values: dict[str, Any] = self._fields(fields) if fields else {}
        values |= about
        if error is not None:
            values |= self._recorder.describe(error)
        self._recorder.log(
            values,
            severity=_severity(level),
            body=self._recorder.redacted(body),
            time_ns=time_ns,
            context=context_ids(attempt),
            scope=scope,
            more=otlp.joined(place or _place(logger), _identity(attempt) if attempt else ""),
        )

    def _fields(self, fields: Mapping[Any, Any]) -> dict[str, Any]:
        redacted = self._recorder.redactor.fields(fields)
        # OTLP wants each name once, and these are ours to fill.
        return {name: value for name, value in redacted.items() if name not in _OURS}

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
