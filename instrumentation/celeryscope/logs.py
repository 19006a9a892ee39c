"""Log lines with task, attempt, workflow and trace ids: the bridge from standard library logging and structlog."""

import logging
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any

from celery._state import get_current_task
from celery.signals import after_setup_logger, after_setup_task_logger
from opentelemetry import trace

from celeryscope import exceptions, semconv, tasks
from celeryscope.guard import guarded
from celeryscope.recorder import Recorder
from celeryscope.running import Attempt, attempt_of

_OURS = ("celeryscope", "urllib3.connectionpool", "opentelemetry")
_ALREADY_TOLD = "celery.app.trace"
"""Celery's logger that repeats the traceback of a failure, which the failure's event holds already."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "task_name",
    "task_id",
    "data",
}
_SEVERITIES = ((logging.CRITICAL, "FATAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"))
_STRUCTLOG_LEVELS = {
    "warning": "WARN",
    "warn": "WARN",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "FATAL",
    "fatal": "FATAL",
    "debug": "DEBUG",
}


def current_attempt() -> Attempt | None:
    """The attempt that the calling thread runs."""
    task = get_current_task()
    return attempt_of(task.request) if task is not None else None


def context_ids() -> tuple[int, int]:
    """(trace id, span id) of the current span, else of the current attempt; zeros outside both."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        return span.trace_id, span.span_id
    attempt = current_attempt()
    return attempt.context if attempt else (0, 0)


class SpoolHandler(logging.Handler):
    """A standard library handler that writes each record to the spool."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder.settings.log_level.upper())
        self._recorder = recorder
        self._busy = threading.local()

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit without the handler's own lock: the spool has one, and none may be held over a fork."""
        if self.filter(record):
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless it is about our own writing."""
        if record.name.startswith(_OURS) or getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            self._write(record)
        finally:
            self._busy.now = False

    @guarded
    def _write(self, record: logging.LogRecord) -> None:
        text, fields = _message(record)
        values: dict[str, Any] = {
            **_attempt_values(record),
            semconv.LOGGER_NAME: record.name,
            semconv.THREAD_NAME: record.threadName,
            semconv.CODE_FILE: record.pathname,
            semconv.CODE_FUNCTION: record.funcName,
            semconv.CODE_LINE: record.lineno,
            **self._recorder.redactor.fields(fields),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and record.name != _ALREADY_TOLD:
            values |= self._recorder.describe(error)
        self._recorder.log(
            values,
            severity=next((name for level, name in _SEVERITIES if record.levelno >= level), "DEBUG"),
            body=self._recorder.redacted(text),
            time_ns=int(record.created * 1e9),
            context=context_ids(),
            scope=record.name,
        )


def _message(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """The line's text and its fields; structlog's ``wrap_for_formatter`` hands its event dict over as the message."""
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}
    if isinstance(record.msg, Mapping):
        fields = {key: value for key, value in record.msg.items() if key not in _STRUCTLOG_OWN}
        return str(record.msg.get("event", "")), fields
    return record.getMessage(), extra


def _attempt_values(record: logging.LogRecord) -> dict[str, Any]:
    """The identity of the attempt that runs, or that one of Celery's own lines is about."""
    if attempt := current_attempt():
        return tasks.identity(attempt.values)
    if record.name.startswith("celery.") and isinstance(record.args, Mapping) and "id" in record.args:
        return {semconv.TASK_ID: record.args["id"], semconv.TASK_NAME: record.args.get("name")}
    return {}


_STRUCTLOG_OWN = frozenset(
    {"event", "level", "timestamp", "logger", "exc_info", "_record", "_from_structlog", "exception"}
)


class StructlogProcessor:
    """A structlog processor: adds ``task_id``, ``attempt``, ``workflow`` and ``trace_id``, and writes to the spool.

    A logger that ends in the standard library is written there by its handler, not here, so nothing is written twice.
    """

    def __init__(self) -> None:
        self._recorder: Recorder | None = None

    def bind(self, recorder: Recorder | None) -> None:
        """From now on write to this recorder; None: only add the ids."""
        self._recorder = recorder

    def __call__(self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Returns the event with the ids added; never raises."""
        if self._recorder is not None and not isinstance(logger, logging.Logger):
            self._write(method_name, event_dict)
        if attempt := current_attempt():
            event_dict.setdefault("task_id", attempt.values[semconv.TASK_ID])
            event_dict.setdefault("attempt", attempt.values[semconv.ATTEMPT])
            event_dict.setdefault("workflow", attempt.values[semconv.ROOT_ID])
            event_dict.setdefault("trace_id", f"{context_ids()[0]:032x}")
        return event_dict

    @guarded
    def _write(self, method_name: str, event_dict: MutableMapping[str, Any]) -> None:
        assert self._recorder is not None
        severity = _STRUCTLOG_LEVELS.get(method_name, "INFO")
        if _level_number(severity) < logging.getLevelName(self._recorder.settings.log_level.upper()):
            return
        attempt = current_attempt()
        values: dict[str, Any] = tasks.identity(attempt.values) if attempt else {}
        fields = {key: value for key, value in event_dict.items() if key not in _STRUCTLOG_OWN}
        values |= self._recorder.redactor.fields(fields)
        values[semconv.LOGGER_NAME] = event_dict.get("logger") or "structlog"
        error = _error_in(event_dict.get("exc_info"))
        if error is not None:
            values |= self._recorder.describe(error)
        self._recorder.log(
            values,
            severity=severity,
            body=self._recorder.redacted(str(event_dict.get("event", ""))),
            context=context_ids(),
            scope="structlog",
        )


def _level_number(severity: str) -> int:
    return next((level for level, name in _SEVERITIES if name == severity), logging.DEBUG)


def _error_in(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) == 3 else None
    return exceptions.original(None) if exc_info else None


structlog_processor = StructlogProcessor()


class LogBridge:
    """Keeps our handler on the root logger and on Celery's task logger, which does not propagate."""

    def __init__(self, recorder: Recorder) -> None:
        self._handler = SpoolHandler(recorder)

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
