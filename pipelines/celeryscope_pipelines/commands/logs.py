"""``celeryscope logs``: log lines of a task or a workflow."""

from datetime import UTC, datetime

import click

from celeryscope.errors import NotFound
from celeryscope.service.options import json_option, since_option
from celeryscope.service.terminal import Terminal, show_json
from celeryscope_pipelines.views import logs as view
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.options import store_options
from celeryscope_pipelines.views.queries import LogSelection
from celeryscope_pipelines.views.wording import Clock


@click.command()
@click.option("--task", "task_id", metavar="ID", help="Lines of this task.")
@click.option("--attempt", "number", type=click.IntRange(min=1), help="Of this attempt only (1 is the first).")
@click.option("--workflow", "any_id", metavar="ID", help="Lines of all tasks of this workflow.")
@click.option("--level", type=click.Choice(list(view.SEVERITIES), case_sensitive=False), help="Lowest level to show.")
@since_option(None)
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="The latest lines.")
@json_option
@store_options
def logs(
    store: Store,
    task_id: str | None,
    number: int | None,
    any_id: str | None,
    level: str | None,
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Log lines in the order of their time, with complete exceptions.

    \b
    Examples:
      celeryscope logs --task 1f0c2b9e-6c5e-4d0b-9d0a-9a3f0f4f2a11
      celeryscope logs --workflow 1f0c2b9e-6c5e-4d0b-9d0a-9a3f0f4f2a11 --level warning
      celeryscope logs --level error --since 15m
    """
    selection = LogSelection(
        task_id=task_id,
        attempt=None if number is None else number - 1,
        root_id=any_id and store.root_of(any_id),
        severity=view.SEVERITIES[level.lower()] if level else None,
        start=since,
    )
    lines, total = store.log_lines(selection, limit)
    if not lines:
        raise NotFound(
            "No log lines match. Check the id, --level and --since; "
            "`celeryscope task ID` shows a task even when it logged nothing."
        )
    if as_json:
        show_json(view.as_dict(lines, total))
    else:
        Terminal().show(*view.render(lines, total, Clock(datetime.now(UTC))))
