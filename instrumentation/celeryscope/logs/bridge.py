"""The bridge from standard library logging."""

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from celeryscope import semconv
from celeryscope.guard import guarded
from celeryscope.logs.lines import Lines, current_attempt, place
from celeryscope.logs.structured import OWN_KEYS
from celeryscope.redaction import safe_str

_OUR_THREADS: Final = "celeryscope"
"""Their names begin so; what urllib3 says in the shipper is about our own work."""
_ALREADY_TOLD: Final = "celery.app.trace"
"""Celery's logger that repeats the traceback of a failure, which the failure's event holds already."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "task_name",
    "task_id",
    "data",
}


class LogBridge:
    """Writes each record that a logger hands to handlers, whatever handlers there are.

    Not a handler itself. With one more on the root logger ``logging.basicConfig`` would do nothing, Flask would install
    none of its own, and what Python prints of warnings while nothing is set up would be seen no more; while
    ``dictConfig``, Celery and Django take away what hangs there, and loggers that don't propagate never reach it.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._busy = threading.local()
        self._installed: Callable[[logging.Logger, logging.LogRecord], None] | None = None

    def install(self) -> None:
        """From now on, for all loggers of the process."""
        original = self._original = logging.Logger.callHandlers

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            if self._installed is not None and record.levelno >= self._lines.lowest:
                self.emit(record)
            original(logger, record)

        self._installed = call_handlers
        logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        """Write nothing any more, and leave no trace, unless another library has hung itself behind us since."""
        if logging.Logger.callHandlers is self._installed:
            logging.Logger.callHandlers = self._original  # type: ignore[method-assign]
        self._installed = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless it is about our own writing, or the interpreter is being taken apart.

        No lock of ours is held over it, nor over a fork.
        """
        ours = getattr(self._busy, "now", False) or (record.threadName or "").startswith(_OUR_THREADS)
        if ours or sys.is_finalizing():
            return
        self._busy.now = True
        try:
            self._write(record)
        finally:
            self._busy.now = False

    @guarded
    def _write(self, record: logging.LogRecord) -> None:
        if not self._lines.wants(record.name, record.levelno):
            return
        text, fields = _message(record)
        about: Mapping[str, Any] = {}
        if isinstance(record.args, Mapping) and record.name.startswith("celery.") and current_attempt() is None:
            about = _task_spoken_of(record.args)
        self._lines.write(
            record.name,
            record.levelno,
            text,
            fields=fields,
            place=place(record.name, record.pathname, record.funcName, record.lineno, record.threadName or ""),
            about=about,
            error=record.exc_info[1] if record.exc_info and record.name != _ALREADY_TOLD else None,
            time_ns=int(record.created * 1e9),
            scope=record.name,
        )


def _message(record: logging.LogRecord) -> tuple[str, dict[Any, Any]]:
    """The line's text and its fields; structlog's ``wrap_for_formatter`` hands its event dict over as the message."""
    if isinstance(record.msg, Mapping):
        return str(record.msg.get("event", "")), {key: record.msg[key] for key in record.msg if key not in OWN_KEYS}
    extra = vars(record).keys() - _STANDARD
    return _text(record), {key: vars(record)[key] for key in extra if not key.startswith("_")} if extra else {}


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - arguments that don't fit, or a user's __str__
        return f"{safe_str(record.msg)} <{type(error).__name__} with its arguments: {error}>"


def _task_spoken_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The task that one of Celery's own lines is about."""
    return {semconv.TASK_ID: arguments.get("id"), semconv.TASK_NAME: arguments.get("name")} if "id" in arguments else {}
