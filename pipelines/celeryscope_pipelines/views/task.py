"""The view of a task: its attempts, the complete traceback of one, the log lines around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from celeryscope.service.terminal import plain_table, verbatim
from celeryscope_pipelines.views.attempts import Attempt, attempt_dict
from celeryscope_pipelines.views.logs import LogLine, line_dict, with_context
from celeryscope_pipelines.views.tracebacks import highlighted
from celeryscope_pipelines.views.waterfall import phases
from celeryscope_pipelines.views.wording import Clock, counted, duration, look, one_line


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task with one attempt in focus."""

    attempts: tuple[Attempt, ...]
    focus: Attempt
    lines: tuple[LogLine, ...]
    """Log lines and events of the attempt in focus."""
    total_lines: int

    @property
    def failure(self) -> LogLine | None:
        """The event with the traceback of the attempt in focus; failures go before retries."""
        traced = [line for line in self.lines if line.event and line.stacktrace]
        return max(traced, key=lambda line: line.severity, default=None)


def in_focus(attempts: Sequence[Attempt], number: int | None) -> Attempt | None:
    """The attempt of that number (1 is the first); None if there is none.

    Without a number it is the last one that failed, else the last retried one, else the last.
    """
    if number is not None:
        return next((attempt for attempt in attempts if attempt.retries == number - 1), None)
    failed = [attempt for attempt in attempts if attempt.failed]
    troubled = [attempt for attempt in attempts if attempt.problem]
    candidates = failed or troubled or attempts
    return candidates[-1] if candidates else None


def render(view: TaskView, clock: Clock, ascii_only: bool, logs: bool) -> list[RenderableType]:
    """The view of ``celeryscope task``; without ``logs`` the log lines are left out."""
    parts: list[RenderableType] = [*_header(view, clock), Text(), _attempts(view, clock, ascii_only)]
    parts += _remarks(view, clock)
    parts += _problem(view, ascii_only)
    if logs:
        parts += _logs(view, clock)
    return [*parts, Text(), *_next(view)]


def _header(view: TaskView, clock: Clock) -> list[RenderableType]:
    focus = view.attempts[-1]
    parts: list[RenderableType] = [
        verbatim(one_line(focus.name), "bold"),
        verbatim(f"task {one_line(focus.task_id)}", "bright_black"),
    ]
    facts = {
        "workflow": focus.root_id,
        "parent": focus.parent_id,
        "service": focus.service,
        "queue": focus.queue,
        "args": focus.args,
        "kwargs": focus.kwargs,
        "sent": f"{clock.date(view.attempts[0].sent_at)} {clock.zone()}" if view.attempts[0].sent_at else None,
    }
    for name, value in facts.items():
        if value:
            line = Text(f"{name:9} ", "bright_black", overflow="ignore")
            parts.append(line.append(one_line(value), "default"))
    return parts


def _attempts(view: TaskView, clock: Clock, ascii_only: bool) -> RenderableType:
    table = plain_table("attempt", "state", "sent", "started", "waited", "ran", "worker", right=("waited", "ran"))
    for column in table.columns[:-1]:
        column.no_wrap = True
    for attempt in view.attempts:
        shown = look(attempt.state)
        bar = phases(attempt, attempt.first_time, clock.now)
        waited = sum(phase.end - phase.start for phase in bar if phase.kind == "waiting")
        ran = sum(phase.end - phase.start for phase in bar if phase.kind == "running")
        table.add_row(
            str(attempt.retries + 1),
            Text(shown.label(ascii_only), shown.style),
            Text(clock.time(attempt.sent_at)),
            Text(clock.time(attempt.started_at)),
            duration(waited),
            duration(attempt.runtime if attempt.runtime is not None else ran) if attempt.started_at else "",
            Text(one_line(attempt.worker or "")),
        )
    return table


def _remarks(view: TaskView, clock: Clock) -> list[RenderableType]:
    """What went wrong in the attempts that are not in focus, a line each."""
    remarks: list[RenderableType] = []
    for attempt in view.attempts:
        if attempt is view.focus or not attempt.problem:
            continue
        remark = Text(f"attempt {attempt.retries + 1}: {one_line(attempt.problem)}", overflow="ignore")
        if attempt.retry_eta:
            remark.append(f" (next attempt from {clock.time(attempt.retry_eta)})", "bright_black")
        remarks.append(remark)
    return [Text(), *remarks] if remarks else []


def _problem(view: TaskView, ascii_only: bool) -> list[RenderableType]:
    focus, failure = view.focus, view.failure
    shown = look(focus.state)
    if not focus.problem and failure is None:
        return []
    number = f", attempt {focus.retries + 1} of {len(view.attempts)}" if len(view.attempts) > 1 else ""
    parts: list[RenderableType] = [Text(), Text(f"{shown.label(ascii_only)}{number}", f"{shown.style} bold")]
    if failure and failure.stacktrace:
        return [*parts, highlighted(failure.stacktrace)]
    parts.append(verbatim(one_line(focus.problem or "")))
    if view.focus.failed:
        parts.append(Text("No traceback was recorded for this attempt.", "bright_black"))
    return parts


def _logs(view: TaskView, clock: Clock) -> list[RenderableType]:
    if not view.lines:
        return [Text(), Text("No log lines of this attempt.", "bright_black")]
    heading = f"Log of attempt {view.focus.retries + 1}"
    if view.total_lines > len(view.lines):
        heading += f", the last {len(view.lines):,} of {counted(view.total_lines, 'line')}"
    failure = view.failure
    parts: list[RenderableType] = [Text(), Text(heading, "bold")]
    for line in view.lines:
        # The traceback of the failure stands above; those that the application logged itself stand here.
        parts += with_context([line], clock, tasks=False, tracebacks=line is not failure)
    return parts


def _next(view: TaskView) -> list[RenderableType]:
    task_id = one_line(view.focus.task_id)
    commands = [f"celeryscope workflow {one_line(view.focus.root_id or view.focus.task_id)}"]
    if len(view.attempts) > 1:
        other = next(attempt for attempt in view.attempts if attempt is not view.focus)
        commands.append(f"celeryscope task {task_id} --attempt {other.retries + 1}")
    commands.append(f"celeryscope logs --task {task_id}")
    fingerprint = view.focus.fingerprint or (view.failure and view.failure.fingerprint)
    if fingerprint:
        commands.append(f"celeryscope failures {one_line(fingerprint)[:8]}")
    return [
        verbatim(f"{'Next: ' if index == 0 else '      '}{command}", "bright_black")
        for index, command in enumerate(commands)
    ]


def as_dict(view: TaskView) -> dict[str, Any]:
    """The view for ``--json``; ``logs`` are those of the attempt in focus."""
    failure = view.failure
    return {
        "task_id": view.focus.task_id,
        "name": view.focus.name,
        "root_id": view.focus.root_id,
        "attempts": [attempt_dict(attempt) for attempt in view.attempts],
        "attempt": view.focus.retries + 1,
        "traceback": failure.stacktrace if failure else None,
        "logs": [line_dict(line) for line in view.lines],
        "logs_total": view.total_lines,
    }
