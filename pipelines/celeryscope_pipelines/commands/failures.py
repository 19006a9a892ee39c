"""``celeryscope failures``: failure clusters."""

from datetime import UTC, datetime
from typing import Literal

import click

from celeryscope import semconv
from celeryscope.errors import NotFound
from celeryscope.service.options import json_option, since_option
from celeryscope.service.terminal import Terminal, show_json
from celeryscope_pipelines.commands import failure_decisions as decisions
from celeryscope_pipelines.views import failure as one_view
from celeryscope_pipelines.views import failures as list_view
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.options import store_options
from celeryscope_pipelines.views.queries import FailureSelection
from celeryscope_pipelines.views.wording import Clock

STATES = [semconv.CLUSTER_OPEN, semconv.CLUSTER_REGRESSED, semconv.CLUSTER_RESOLVED, semconv.CLUSTER_IGNORED]


class _ListByDefault(click.Group):
    """A group whose first argument may be missing or a cluster: then it is its command ``list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, with ``list`` put in front where nothing else is named."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def failures() -> None:
    """Failures, grouped into clusters that are one problem each, and what was decided about them.

    Without a command: `list`. With the first characters of a cluster's FINGERPRINT instead: `show`.

    \b
    Examples:
      celeryscope failures
      celeryscope failures --since 7d --task 'shop.payments.*' --sort latest
      celeryscope failures show 3f9a21c4
      celeryscope failures resolve 3f9a21c4 --release 1.4.2 --reason "timeout raised"
    """


@failures.command("list")
@click.argument("fingerprint", required=False)
@since_option("24h")
@click.option("--task", metavar="NAME", help="Only failures of this task; * and ? are wildcards.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only clusters in this state; may be repeated."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Clusters to show.")
@click.option("--sort", type=click.Choice(["count", "latest"]), default="count", show_default=True)
@json_option
@store_options
def list_clusters(
    store: Store,
    fingerprint: str | None,
    since: datetime,
    task: str | None,
    states: tuple[str, ...],
    limit: int,
    sort: Literal["count", "latest"],
    as_json: bool,
) -> None:
    """The clusters that failed in a time, the most frequent first.

    \b
    Examples:
      celeryscope failures list --since 7d --sort latest
      celeryscope failures list --state open --state regressed
    """
    selection = FailureSelection(start=since, task=task)
    if fingerprint:
        _show(store, fingerprint, selection, limit, as_json)
        return
    found = store.failures.clusters(selection, limit, sort, states)
    if not found.failures:
        of_task = f" of tasks called {task!r}" if task else ""
        in_state = f" in clusters that are {' or '.join(states)}" if states else ""
        raise NotFound(
            f"No failures{of_task}{in_state} since {since.astimezone():%Y-%m-%d %H:%M:%S %Z}. "
            "--since 30d looks further back; `celeryscope status` tells whether data arrives."
        )
    if as_json:
        show_json(list_view.as_dict(found, since))
    else:
        Terminal().show(*list_view.render(found, Clock(datetime.now(UTC))))


@failures.command()
@click.argument("fingerprint")
@since_option("24h")
@click.option("--task", metavar="NAME", help="Count only failures of this task; * and ? are wildcards.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Failures to show.")
@json_option
@store_options
def show(store: Store, fingerprint: str, since: datetime, task: str | None, limit: int, as_json: bool) -> None:
    """One cluster: its state, where, why, since when and which release, a complete traceback, what to type next.

    The first characters of the FINGERPRINT are enough.

    \b
    Example: celeryscope failures show 3f9a21c4
    """
    _show(store, fingerprint, FailureSelection(start=since, task=task), limit, as_json)


def _show(store: Store, prefix: str, selection: FailureSelection, limit: int, as_json: bool) -> None:
    now = datetime.now(UTC)
    fingerprint = store.failures.find(prefix, selection)
    cluster, entity = store.failures.cluster(fingerprint, selection)
    names = (fingerprint, *cluster.members)
    latest = store.failures.occurrences(
        FailureSelection(start=selection.start, task=selection.task, fingerprints=names), limit
    )
    step = one_view.TREND_STEP
    start = datetime.fromtimestamp((now.timestamp() // step + 1 - one_view.TREND_STEPS) * step, UTC)
    view = one_view.FailureView(cluster, entity, latest, store.failures.trend(names, start, now, step))
    if as_json:
        show_json(one_view.as_dict(view))
    else:
        terminal = Terminal()
        terminal.show(*one_view.render(view, Clock(now), terminal.ascii_only))


for command in (decisions.resolve, decisions.reopen, decisions.ignore, decisions.merge, decisions.split):
    failures.add_command(command)
