"""Log lines: the application's own, and the events of tasks that stand among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from celeryscope import semconv
from celeryscope_pipelines.views.documents import fields, instant, integer, iso, text
from celeryscope_pipelines.views.tracebacks import highlighted
from celeryscope_pipelines.views.wording import Clock, clean, counted, one_line

SEVERITIES: Final = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
"""Names for ``--level`` and the lowest severity number that each stands for."""

_STYLES = ((17, "red"), (13, "yellow"), (9, "green"), (0, "bright_black"))
_NOT_EXTRA = (
    "celery.", "code.", "data_stream.", "error.", "event.", "exception.", "log.", "logger.", "messaging.", "process.",
    "processor.", "service.", "span.", "telemetry.", "thread.", "timestamp.", "transaction.",
)  # fmt: skip
"""Attributes that we or OpenTelemetry set; all others are the fields that the application gave its log call."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One document of the logs data stream."""

    time: datetime | None
    severity: int
    level: str
    message: str
    logger: str | None = None
    event: str | None = None
    """Name of the event; None for a line of the application."""
    task_id: str | None = None
    task_name: str | None = None
    root_id: str | None = None
    retries: int = 0
    worker: str | None = None
    exception_type: str | None = None
    exception_message: str | None = None
    stacktrace: str | None = None
    stack: str | None = None
    """Stacks of a task that runs too long."""
    fingerprint: str | None = None
    failure_title: str | None = None
    culprit: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a structured log call."""

    @property
    def problem(self) -> str | None:
        """``Type: message`` of the exception; None when the line has none."""
        if self.exception_type and self.exception_message:
            return f"{self.exception_type}: {self.exception_message}"
        return self.exception_type or self.exception_message


def log_line(source: Mapping[str, Any]) -> LogLine:
    """The line that a document of the logs data stream holds."""
    known = fields(source)
    event = text(known.get(semconv.EVENT)) or text(known.get("event_name"))
    severity = integer(known.get("severity_number"))
    attributes = source.get("attributes")
    return LogLine(
        time=instant(known.get("@timestamp")),
        severity=severity,
        level=_level(severity, text(known.get("severity_text"))),
        message=text(known.get("body.text")) or text(known.get("message")) or event or "",
        logger=text(known.get(semconv.LOGGER_NAME)),
        event=event,
        task_id=text(known.get(semconv.TASK_ID)),
        task_name=text(known.get(semconv.TASK_NAME)),
        root_id=text(known.get(semconv.ROOT_ID)),
        retries=integer(known.get(semconv.RETRIES)),
        worker=text(known.get(semconv.WORKER)),
        exception_type=text(known.get(semconv.EXCEPTION_TYPE)),
        exception_message=text(known.get(semconv.EXCEPTION_MESSAGE)),
        stacktrace=text(known.get(semconv.EXCEPTION_STACKTRACE)),
        stack=text(known.get(semconv.STACK_TRACE)),
        fingerprint=text(known.get(semconv.FINGERPRINT)),
        failure_title=text(known.get(semconv.FAILURE_TITLE)),
        culprit=text(known.get(semconv.CULPRIT)),
        extra=_extra(attributes) if isinstance(attributes, Mapping) else {},
    )


def _extra(attributes: Mapping[str, Any]) -> dict[str, Any]:
    flat = fields(attributes)
    return {name: value for name, value in flat.items() if not name.startswith(_NOT_EXTRA)}


def _level(severity: int, written: str | None) -> str:
    for lowest, name in ((21, "FATAL"), (17, "ERROR"), (13, "WARN"), (9, "INFO"), (5, "DEBUG"), (1, "TRACE")):
        if severity >= lowest:
            return name
    return (written or "").upper()


def with_context(lines: Iterable[LogLine], clock: Clock, *, tasks: bool, tracebacks: bool) -> list[RenderableType]:
    """The lines as parts to print, one below the other.

    ``tasks`` says whether the task stands on each line (it need not when all are of one), ``tracebacks`` whether
    exceptions are shown completely below their line.
    """
    parts: list[RenderableType] = []
    for line in lines:
        traced = tracebacks and line.stacktrace is not None
        parts.append(_heading(line, clock, task=tasks, problem=not traced))
        indent = Text("    ", end="")
        parts += [_indented(more, indent) for more in clean(line.message).rstrip("\n").split("\n")[1:]]
        if traced:
            parts.append(highlighted(line.stacktrace or ""))
        if line.stack:
            parts.append(highlighted(line.stack))
    return parts


def _heading(line: LogLine, clock: Clock, *, task: bool, problem: bool) -> Text:
    style = next(style for lowest, style in _STYLES if line.severity >= lowest)
    heading = Text(overflow="ignore")
    heading.append(f"{clock.time(line.time):12} ", "bright_black")
    heading.append(f"{one_line(line.level):5} ", style)
    if task and line.task_name:
        number = f" #{line.retries + 1}" if line.retries else ""
        heading.append(f"{one_line(line.task_name)}{number} ", "cyan")
        heading.append(f"{one_line(line.task_id or '')[:8]} ", "bright_black")
    if line.logger:
        heading.append(f"{one_line(line.logger)}: ", "bright_black")
    heading.append(clean(line.message).split("\n")[0])
    if problem and line.problem and (line.exception_message or line.problem) not in line.message:
        heading.append(f" {one_line(line.problem)}", "red")
    for name, value in line.extra.items():
        heading.append(f" {one_line(name)}=", "bright_black")
        heading.append(one_line(str(value)))
    return heading


def _indented(line: str, indent: Text) -> Text:
    return Text.assemble(indent, line, overflow="ignore")


def render(lines: Sequence[LogLine], total: int, clock: Clock) -> list[RenderableType]:
    """The view of ``celeryscope logs``: lines in time order, exceptions complete."""
    names = {line.task_id for line in lines}
    parts: list[RenderableType] = [Text(f"Times are {clock.zone()}.", style="bright_black")]
    if total > len(lines):
        left_out = counted(total - len(lines), "earlier line")
        parts.append(Text(f"{left_out} left out; --limit shows more.", style="bright_black"))
    return [*parts, *with_context(lines, clock, tasks=len(names) > 1, tracebacks=True)]


def line_dict(line: LogLine) -> dict[str, Any]:
    """The line for ``--json``."""
    return {
        "time": iso(line.time),
        "level": line.level,
        "severity_number": line.severity,
        "logger": line.logger,
        "message": line.message,
        "event": line.event,
        "task_id": line.task_id,
        "task_name": line.task_name,
        "attempt": line.retries + 1,
        "root_id": line.root_id,
        "worker": line.worker,
        "exception_type": line.exception_type,
        "exception_message": line.exception_message,
        "stacktrace": line.stacktrace,
        "stack": line.stack,
        "fingerprint": line.fingerprint,
        "fields": dict(line.extra),
    }


def as_dict(lines: Sequence[LogLine], total: int) -> dict[str, Any]:
    """The view for ``--json``; ``total`` counts also the lines that the limit left out."""
    return {"total": total, "lines": [line_dict(line) for line in lines]}
