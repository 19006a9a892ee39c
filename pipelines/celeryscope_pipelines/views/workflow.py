"""The view of a workflow: the waterfall on the terminal, or the same as a dict."""

from typing import Any, Final

from rich.cells import cell_len
from rich.console import OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from celeryscope.service.terminal import verbatim
from celeryscope_pipelines.views.attempts import attempt_dict
from celeryscope_pipelines.views.bars import Axis, Bar, legend
from celeryscope_pipelines.views.documents import iso
from celeryscope_pipelines.views.tree import Relation
from celeryscope_pipelines.views.waterfall import NEVER_REACHED, PLANNED, Row, Workflow, visible
from celeryscope_pipelines.views.wording import Clock, counted, duration, look, one_line

_MAX_INDENT: Final = 12
_MAX_NAME: Final = 44
_MIN_NAME: Final = 14
_FIXED_COLUMNS: Final = 60
"""Columns that the waterfall needs for all but the names: state, times, gaps, and a bar worth looking at."""
_FIXED_COLUMNS_NARROW: Final = 46
_ROOMY: Final = 80
"""Columns from which on the waiting times get a column of their own."""
_MAX_NAMES: Final = 6
_MAX_FAILURES: Final = 20
_NOTICEABLE_SKEW: Final = 0.001


def render(workflow: Workflow, clock: Clock, limit: int, width: int, ascii_only: bool) -> list[RenderableType]:
    """The view of ``celeryscope workflow``; ``limit`` is the number of rows (0: all), ``width`` the terminal's."""
    shown = visible(workflow.rows, limit)
    parts: list[RenderableType] = [*_header(workflow, clock, ascii_only), Text()]
    parts.append(_waterfall(workflow, shown, width, ascii_only))
    left_out = len(workflow.rows) - len(shown)
    if left_out:
        parts.append(Text(f"{counted(left_out, 'row')} left out, successes first; --limit 0 shows all.", "yellow"))
    parts.append(Text(legend(ascii_only), "bright_black"))
    parts += _notes(workflow)
    parts += _failures(workflow, ascii_only)
    return [*parts, Text(), *_next(workflow)]


def _header(workflow: Workflow, clock: Clock, ascii_only: bool) -> list[RenderableType]:
    arrow = " > " if ascii_only else " → "
    more = len(workflow.names) - _MAX_NAMES
    names = arrow.join(map(one_line, workflow.names[:_MAX_NAMES])) + (f" and {more} more" if more > 0 else "")
    states = Text()
    for state, count in workflow.states.items():
        shown = look(state)
        states.append("   " if states else "")
        states.append(f"{count:,} {shown.label(ascii_only)}", shown.style)
    length = f"{duration(workflow.seconds)}{' so far' if workflow.active else ''}"
    services = ", ".join(map(one_line, workflow.services)) or "unknown service"
    attempts = sum(1 for row in workflow.rows if row.attempt)
    return [
        verbatim(names, "bold"),
        verbatim(f"workflow {one_line(workflow.root_id)}", "bright_black"),
        Text(
            f"{services}: {counted(workflow.tasks, 'task')} in {counted(attempts, 'attempt')}, {length}, "
            f"started {clock.date(workflow.started_at) or 'at an unknown time'} {clock.zone()}"
        ),
        states,
    ]


def _waterfall(workflow: Workflow, rows: tuple[Row, ...], width: int, ascii_only: bool) -> Table:
    roomy = width >= _ROOMY
    names = max(_MIN_NAME, min(_MAX_NAME, width - (_FIXED_COLUMNS if roomy else _FIXED_COLUMNS_NARROW)))
    cut: OverflowMethod = "crop" if ascii_only else "ellipsis"
    table = Table(box=None, expand=True, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("task", no_wrap=True, overflow=cut, max_width=names)
    table.add_column("state", no_wrap=True)
    table.add_column(Axis(workflow.seconds), ratio=1, no_wrap=True, overflow=cut)
    if roomy:
        table.add_column("waited", justify="right", no_wrap=True)
    table.add_column("ran", justify="right", no_wrap=True)
    for row in rows:
        shown = look(row.state)
        cells: list[RenderableType] = [_name(row, names, ascii_only), Text(shown.label(ascii_only), shown.style)]
        cells.append(_bar(row, workflow.seconds, ascii_only))
        cells += [duration(row.seconds("waiting"))] if roomy else []
        table.add_row(*cells, duration(row.seconds("running")))
    return table


def _name(row: Row, width: int, ascii_only: bool) -> Text:
    name = Text("  " * min(row.depth, _MAX_INDENT))
    if row.attempt and row.attempt.retries:
        return name.append(f"  attempt {row.attempt.retries + 1}", "bright_black")
    marks = {Relation.CHAIN: ("→ ", "> "), Relation.CHORD: ("⇒ ", "=> "), Relation.ORPHAN: ("… ", ".. ")}
    name.append(marks.get(row.relation, ("", ""))[ascii_only], "bright_black")
    return name.append(_end_of(one_line(row.name), width - name.cell_len, ascii_only))


def _end_of(name: str, width: int, ascii_only: bool) -> str:
    """The name, or its end when there is no room: names of tasks differ in their ends."""
    if cell_len(name) <= width:
        return name
    mark = ".." if ascii_only else "…"
    while name and cell_len(mark + name) > width:
        name = name[1:]
    return mark + name


def _bar(row: Row, total: float, ascii_only: bool) -> RenderableType:
    if row.attempt:
        return Bar(row.phases, total, look(row.state).style, ascii_only)
    return Text(why(row), "bright_black")


def why(row: Row) -> str:
    """Why a planned step has not run, as far as it is clear; empty when it isn't."""
    if row.cause is None:
        return ""
    word = {"UNKNOWN": "is not registered in the worker"}.get(row.cause.state)
    return f"because {one_line(row.cause.name)} {word or _passive(row.cause.state)}"


def _passive(state: str) -> str:
    word = look(state).word
    return word if state == "FAILURE" else f"was {word}"


def _notes(workflow: Workflow) -> list[RenderableType]:
    notes: list[RenderableType] = []
    if workflow.clock_skew > _NOTICEABLE_SKEW:
        notes.append(
            Text(
                f"Clocks of hosts differ by at least {duration(workflow.clock_skew)}: runs that seemed to begin before "
                "they were sent are moved behind it.",
                "yellow",
            )
        )
    if any(row.relation is Relation.ORPHAN for row in workflow.rows):
        notes.append(Text("Rows that begin with dots have a parent that is not known here.", "yellow"))
    fetched = sum(1 for row in workflow.rows if row.attempt)
    if workflow.total_attempts > fetched:
        notes.append(
            Text(f"Only the first {fetched:,} of {counted(workflow.total_attempts, 'attempt')} were read.", "yellow")
        )
    return notes


def _failed(workflow: Workflow) -> list[Row]:
    return [row for row in workflow.rows if row.attempt and row.attempt.failed]


def _failures(workflow: Workflow, ascii_only: bool) -> list[RenderableType]:
    failed = _failed(workflow)
    parts: list[RenderableType] = [Text(), Text("Failures", "bold")] if failed else []
    for row in failed[:_MAX_FAILURES]:
        assert row.attempt is not None
        shown = look(row.state)
        line = Text(f"{shown.label(ascii_only)}  ", shown.style, overflow="ignore")
        line.append(one_line(row.name), "cyan")
        line.append(f"  {one_line(row.attempt.problem or row.attempt.failure_kind or '')}")
        parts.append(line)
        stopped = [one_line(step.name) for step in workflow.rows if step.cause and step.cause.task_id == row.task_id]
        if stopped:
            parts.append(Text(f"    never reached because of it: {', '.join(stopped)}", "bright_black"))
    if len(failed) > _MAX_FAILURES:
        parts.append(Text(f"and {counted(len(failed) - _MAX_FAILURES, 'more failure')}", "bright_black"))
    return parts


def _next(workflow: Workflow) -> list[RenderableType]:
    failed = _failed(workflow)
    task_id = failed[0].task_id if failed else next((row.task_id for row in workflow.rows if row.attempt), None)
    commands = [f"celeryscope task {one_line(task_id)}"] if task_id else []
    commands.append(f"celeryscope logs --workflow {one_line(workflow.root_id)}")
    return [
        verbatim(f"{'Next: ' if index == 0 else '      '}{command}", "bright_black")
        for index, command in enumerate(commands)
    ]


def as_dict(workflow: Workflow) -> dict[str, Any]:
    """The view for ``--json``: all rows, bars in seconds since ``started_at``."""
    return {
        "root_id": workflow.root_id,
        "names": list(workflow.names),
        "services": list(workflow.services),
        "started_at": iso(workflow.started_at),
        "seconds": round(workflow.seconds, 6),
        "active": workflow.active,
        "tasks": workflow.tasks,
        "attempts": workflow.total_attempts,
        "states": dict(workflow.states),
        "clock_skew": round(workflow.clock_skew, 6),
        "rows": [_row_dict(row) for row in workflow.rows],
    }


def _row_dict(row: Row) -> dict[str, Any]:
    cause = row.cause
    return {
        "task_id": row.task_id,
        "name": row.name,
        "state": row.state,
        "depth": row.depth,
        "relation": row.relation.value,
        "attempt": row.attempt.retries + 1 if row.attempt else None,
        "attempts": row.attempts,
        "reached": row.state not in {PLANNED, NEVER_REACHED},
        "because_of": cause and {"task_id": cause.task_id, "name": cause.name, "state": cause.state},
        "phases": [
            {"kind": phase.kind, "start": round(phase.start, 6), "end": round(phase.end, 6)} for phase in row.phases
        ],
        "details": attempt_dict(row.attempt) if row.attempt else None,
    }
