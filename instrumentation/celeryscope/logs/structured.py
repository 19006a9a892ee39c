"""The bridge from structlog."""

import logging
from collections.abc import MutableMapping
from typing import Any, Final

from celeryscope import exceptions, semconv
from celeryscope.guard import guarded
from celeryscope.logs.lines import Lines, context_ids, current_attempt

OWN_KEYS: Final = frozenset(
    {"event", "level", "timestamp", "logger", "exc_info", "_record", "_from_structlog", "exception"}
)
"""Keys of structlog's event dict that its own processors put there."""

_NAME: Final = "structlog"
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
"""By the method that was called; others, as ``info`` and ``msg``, are INFO."""


class StructlogProcessor:
    """A structlog processor: adds ``task_id``, ``attempt``, ``workflow`` and ``trace_id``, and writes to the spool.

    A logger that ends in the standard library is written there by its handler, not here, so nothing is written twice.
    """

    def __init__(self) -> None:
        self._lines: Lines | None = None

    def bind(self, lines: Lines | None) -> None:
        """From now on write there; None: only add the ids."""
        self._lines = lines

    def __call__(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Returns the event with the ids added; never raises."""
        if self._lines is not None and not isinstance(logger, logging.Logger):
            self._write(self._lines, method_name, event_dict)
        if attempt := current_attempt():
            event_dict.setdefault("task_id", attempt.values[semconv.TASK_ID])
            event_dict.setdefault("attempt", attempt.values[semconv.ATTEMPT])
            event_dict.setdefault("workflow", attempt.values[semconv.ROOT_ID])
            event_dict.setdefault("trace_id", f"{context_ids(attempt)[0]:032x}")
        return event_dict

    @guarded
    def _write(self, lines: Lines, method_name: str, event_dict: MutableMapping[str, Any]) -> None:
        name, level = str(event_dict.get("logger") or _NAME), _LEVELS.get(method_name, logging.INFO)
        if not lines.wants(name, level):
            return
        fields = {key: value for key, value in event_dict.items() if key not in OWN_KEYS}
        error = _error_in(event_dict.get("exc_info"))
        lines.write(name, level, str(event_dict.get("event", "")), fields=fields, error=error, scope=_NAME)


def _error_in(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) == 3 else None
    return exceptions.original(None) if exc_info else None


structlog_processor = StructlogProcessor()
