"""``celeryscope failures``: failure clusters."""

from datetime import UTC, datetime
from typing import Literal

import click

from celeryscope.errors import NotFound
from celeryscope_pipelines.views import failures as view
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.options import json_option, since_option, store_options
from celeryscope_pipelines.views.queries import FailureSelection
from celeryscope_pipelines.views.terminal import Terminal, show_json
from celeryscope_pipelines.views.wording import Clock


@click.command()
@click.argument("fingerprint", required=False)
@since_option("24h")
@click.option("--task", metavar="NAME", help="Only failures of this task; * and ? are wildcards.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Clusters to show.")
@click.option("--sort", type=click.Choice(["count", "latest"]), default="count", show_default=True)
@json_option
@store_options
def failures(
    store: Store,
    fingerprint: str | None,
    since: datetime,
    task: str | None,
    limit: int,
    sort: Literal["count", "latest"],
    as_json: bool,
) -> None:
    """Failures, grouped into clusters that are one problem each.

    With a FINGERPRINT (the first characters are enough): that cluster, a complete traceback and its latest failures.

    \b
    Examples:
      celeryscope failures
      celeryscope failures --since 7d --task 'shop.payments.*' --sort latest
      celeryscope failures 3f9a21c4
    """
    selection = FailureSelection(start=since, task=task)
    if fingerprint:
        _show_one(store, fingerprint, selection, limit, as_json)
        return
    found = store.clusters(selection, limit, sort)
    if not found.failures:
        of_task = f" of tasks called {task!r}" if task else ""
        raise NotFound(
            f"No failures{of_task} since {since.astimezone():%Y-%m-%d %H:%M:%S %Z}. "
            "--since 30d looks further back; `celeryscope status` tells whether data arrives."
        )
    if as_json:
        show_json(view.as_dict(found, since))
    else:
        Terminal().show(*view.render(found, Clock(datetime.now(UTC))))


def _show_one(store: Store, prefix: str, selection: FailureSelection, limit: int, as_json: bool) -> None:
    cluster = store.cluster(prefix, selection)
    latest = store.occurrences(
        FailureSelection(start=selection.start, task=selection.task, fingerprint=cluster.fingerprint), limit
    )
    if as_json:
        show_json(view.one_as_dict(cluster, latest))
    else:
        Terminal().show(*view.render_one(cluster, latest, Clock(datetime.now(UTC))))
