"""``celeryscope setup``: topics, index templates and indices."""

from typing import Any

import click

from celeryscope.service.changes import patiently, tell
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.durations import seconds
from celeryscope_pipelines.provisioning import Plan, provision


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
    plan = Plan(**planned)
    changes = patiently(lambda: provision(kafka, elasticsearch, plan, dry_run=dry_run), wait)
    tell(changes, as_json=as_json, dry_run=dry_run)
