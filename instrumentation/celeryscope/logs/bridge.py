"""The bridge from standard library logging."""

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

from celery.signals import after_setup_logger, after_setup_task_logger

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


class SpoolHandler(logging.Handler):
    """A standard library handler that writes each record to the spool."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines.lowest)
        self._lines = lines
        self._busy = threading.local()

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit without the handler's own lock: the spool has one, and none may be held over a fork."""
        if self.filter(record):
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless it is about our own writing."""
        if getattr(self._busy, "now", False) or (record.threadName or "").startswith(_OUR_THREADS):
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


class LogBridge:
    """Keeps our handler on the root logger and on Celery's task logger, which does not propagate."""

    def __init__(self, lines: Lines) -> None:
        self._handler = SpoolHandler(lines)

    def install(self) -> None:
        """Attach now, and again whenever Celery has set up logging anew."""
        self._attach(logger=logging.getLogger())
        after_setup_logger.connect(self._attach, weak=False)
        after_setup_task_logger.connect(self._attach, weak=False)

    def attach_again(self, **_: Any) -> None:
        """The application may have replaced the root logger's handlers meanwhile."""
        self._attach(logger=logging.getLogger())

    def remove(self) -> None:
        """Detach for good."""
        after_setup_logger.disconnect(self._attach)
        after_setup_task_logger.disconnect(self._attach)
        for logger in (logging.getLogger(), logging.getLogger("celery.task")):
            logger.removeHandler(self._handler)

    def _attach(self, logger: logging.Logger, **_: Any) -> None:
        if self._handler not in logger.handlers:
            logger.addHandler(self._handler)
