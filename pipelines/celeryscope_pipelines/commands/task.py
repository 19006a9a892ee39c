"""``celeryscope task``: all about one task."""

from datetime import UTC, datetime

import click

from celeryscope.errors import NotFound
from celeryscope.service.options import json_option
from celeryscope.service.terminal import Terminal, show_json
from celeryscope_pipelines.views import task as view
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.options import store_options
from celeryscope_pipelines.views.queries import LogSelection
from celeryscope_pipelines.views.wording import Clock


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--attempt", "number", type=click.IntRange(min=1), help="Show this attempt (1 is the first).")
@click.option("--logs/--no-logs", default=True, help="With or without the attempt's log lines.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Log lines to show.")
@json_option
@store_options
def task(store: Store, task_id: str, number: int | None, logs: bool, limit: int, as_json: bool) -> None:
    """One task: its attempts, the complete traceback of its failure, and its log.

    The attempt that is shown is the last one that failed, unless --attempt names another.

    \b
    Examples:
      celeryscope task 1f0c2b9e-6c5e-4d0b-9d0a-9a3f0f4f2a11
      celeryscope task 1f0c2b9e-6c5e-4d0b-9d0a-9a3f0f4f2a11 --attempt 1 --no-logs
    """
    attempts = store.attempts_of_task(task_id)
    if not attempts:
        root_id = store.root_of(task_id)
        raise NotFound(f"{task_id!r} is no task that was sent; see `celeryscope workflow {root_id}`.")
    focus = view.in_focus(attempts, number)
    if focus is None:
        known = ", ".join(str(attempt.retries + 1) for attempt in attempts)
        raise NotFound(f"The task has no attempt {number}; it has {known}.")
    lines, total = store.log_lines(LogSelection(task_id=task_id, attempt=focus.retries), limit)
    shown = view.TaskView(tuple(attempts), focus, tuple(lines), total)
    if as_json:
        show_json(view.as_dict(shown))
    else:
        terminal = Terminal()
        terminal.show(*view.render(shown, Clock(datetime.now(UTC)), terminal.ascii_only, logs))
