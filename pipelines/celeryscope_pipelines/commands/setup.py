"""``celeryscope setup``: topics, index templates and indices."""

from time import monotonic, sleep
from typing import Any

import click
from rich.text import Text

from celeryscope.errors import Unavailable
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.durations import seconds
from celeryscope_pipelines.provisioning import Action, Change, Plan, provision
from celeryscope_pipelines.settings import ElasticsearchSettings
from celeryscope_pipelines.views.terminal import Terminal, plain_table, show_json

_STYLES = {Action.CREATED: "green", Action.CHANGED: "yellow", Action.UNCHANGED: "dim", Action.KEPT: "bold red"}
_PAUSE = 1.0


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Seconds of a duration such as ``12h``, ``30d`` or ``8w``; 0 stands for ever."""
    try:
        return None if value is None else seconds(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from None


@click.command()
@click.option(
    "--partitions", type=click.IntRange(1, 10_000), help="Of traces and logs: that many indexers share the work.  [6]"
)
@click.option(
    "--replication", type=click.IntRange(1, 100), help="Copies of each new topic in Kafka.  [3, or as many as brokers]"
)
@click.option("--topic-retention", callback=_seconds, metavar="TIME", help="Kafka keeps traces and logs this long.")
@click.option(
    "--replicas", type=click.IntRange(0, 10), help="Further copies of each index.  [1 if there are two nodes]"
)
@click.option(
    "--retention", callback=_seconds, metavar="TIME", help="Elasticsearch keeps spans and logs this long.  [for ever]"
)
@click.option("--metrics", is_flag=True, help="A topic for OTLP metrics, too, for collectors that take them.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--wait", type=click.FloatRange(min=0), default=0, metavar="SECONDS", help="For servers that start up.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead.")
@click.option("--kafka", "bootstrap_servers", metavar="HOST:PORT", help="Kafka brokers.  [127.0.0.1:9092]")
@click.option("--elasticsearch-url", metavar="URL", help="Elasticsearch.  [http://127.0.0.1:9200]")
def setup(
    dry_run: bool,
    wait: float,
    as_json: bool,
    bootstrap_servers: str | None,
    elasticsearch_url: str | None,
    **planned: Any,
) -> None:
    """Create Kafka's topics, and Elasticsearch's index templates and indices.

    Run it before anything else and after each upgrade; a second run changes nothing. What holds data is never deleted
    or made smaller.

    \b
    Examples:
      celeryscope setup --dry-run
      celeryscope setup --wait 120 --partitions 12 --retention 30d
    """
    kafka = KafkaSettings.load(bootstrap_servers=bootstrap_servers)
    elasticsearch = ElasticsearchSettings.load(url=elasticsearch_url)
    changes = _patiently(kafka, elasticsearch, Plan(**planned), dry_run, wait)
    if as_json:
        show_json({"dry_run": dry_run, "items": [change.as_dict() for change in changes]})
    else:
        _show(changes, dry_run)


def _patiently(
    kafka: KafkaSettings, elasticsearch: ElasticsearchSettings, plan: Plan, dry_run: bool, wait: float
) -> list[Change]:
    """Provision, again and again while a server is away and the time is not over."""
    deadline = monotonic() + wait
    told = ""
    while True:
        try:
            return provision(kafka, elasticsearch, plan, dry_run=dry_run)
        except Unavailable as error:
            if monotonic() + _PAUSE > deadline:
                raise
            if str(error) != told:
                told = str(error)
                click.echo(f"waiting: {told}", err=True)
            sleep(_PAUSE)


def _show(changes: list[Change], dry_run: bool) -> None:
    table = plain_table("item", "name", "", "")
    for change in changes:
        table.add_row(change.kind, change.name, Text(change.action.value, _STYLES[change.action]), change.detail)
    counts = {action: sum(change.action is action for change in changes) for action in Action}
    summary = ", ".join(f"{count} {action.value}" for action, count in counts.items() if count)
    Terminal().show(table, Text(f"\n{summary}" + (" (dry run: nothing was done)" if dry_run else "")))
