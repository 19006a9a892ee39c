"""``celeryscope workflow``: the waterfall of a chain, group or chord."""

from datetime import UTC, datetime

import click

from celeryscope.service.options import json_option
from celeryscope.service.terminal import Terminal, show_json
from celeryscope_pipelines.views import workflow as view
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.options import store_options
from celeryscope_pipelines.views.waterfall import workflow_of
from celeryscope_pipelines.views.wording import Clock


@click.command()
@click.argument("any_id", metavar="ID")
@click.option("--limit", type=click.IntRange(min=0), default=200, show_default=True, help="Rows to show; 0 for all.")
@json_option
@store_options
def workflow(store: Store, any_id: str, limit: int, as_json: bool) -> None:
    """One workflow as a waterfall: who waited, who ran, what failed, what was never reached.

    ID is the workflow's root id or the id of any of its tasks, also of one that was planned and never sent.

    \b
    Example:
      celeryscope workflow 1f0c2b9e-6c5e-4d0b-9d0a-9a3f0f4f2a11
    """
    root_id = store.root_of(any_id)
    attempts, total = store.attempts_of_workflow(root_id)
    now = datetime.now(UTC)
    found = workflow_of(root_id, attempts, now, total)
    if as_json:
        show_json(view.as_dict(found))
    else:
        terminal = Terminal()
        terminal.show(*view.render(found, Clock(now), limit, terminal.width, terminal.ascii_only))
