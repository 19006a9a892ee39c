"""``celeryscope retention``: delete what is older than it is to be kept."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from celeryscope.errors import ConfigError
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope.service.options import json_option
from celeryscope.service.terminal import Terminal, plain_table, show_json
from celeryscope_pipelines.retention import Item, Keep, enforce
from celeryscope_pipelines.settings import RetentionSettings
from celeryscope_pipelines.views.status import size


def _option(name: str, what: str) -> Callable[[Any], Any]:
    return click.option(f"--{name}", metavar="TIME", help=f"{what}  [env: CELERYSCOPE_RETENTION_{name.upper()}]")


@click.command()
@_option("spans", "Elasticsearch keeps spans this long.")
@_option("logs", "Elasticsearch keeps log lines, failures and vitals this long.")
@_option("tasks", "Attempts, after the day they were sent.")
@_option("failures", "Failure clusters, after they were seen last.")
@_option("entities", "Workers, queues and schedules, after they were seen last.")
@_option("alerts", "The history of alerts.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@json_option
@click.option("--elasticsearch-url", metavar="URL", help="Elasticsearch.  [http://127.0.0.1:9200]")
def retention(dry_run: bool, as_json: bool, elasticsearch_url: str | None, **times: str | None) -> None:
    """Delete what is older than it is to be kept; made for cron.

    What no option or setting names is left as it is. TIME is e.g. 12h, 30d, 8w or forever. Spans and logs are deleted
    by Elasticsearch, whose data streams are told how long; attempts day by day, as whole indices; the rest document
    by document.

    \b
    Examples:
      celeryscope retention --tasks 90d --failures 180d --dry-run
      CELERYSCOPE_RETENTION_SPANS=14d CELERYSCOPE_RETENTION_LOGS=30d celeryscope retention
    """
    keep = RetentionSettings.load(**times).keep
    if not keep:
        raise ConfigError(
            "Nothing says how long to keep data. Give e.g. --tasks 90d, or set CELERYSCOPE_RETENTION_TASKS=90d."
        )
    with connect(ElasticsearchSettings.load(url=elasticsearch_url)) as client:
        items = enforce(client, Keep(**keep), datetime.now(UTC), dry_run=dry_run)
    if as_json:
        show_json({"dry_run": dry_run, "items": [item.as_dict() for item in items]})
    else:
        _show(items, dry_run=dry_run)


def _show(items: list[Item], *, dry_run: bool) -> None:
    table = plain_table("name", "", "documents", "size", "", right=("documents", "size"))
    for item in items:
        counts = (f"{item.documents:,}", size(item.bytes) if item.bytes else "") if item.documents else ("", "")
        table.add_row(item.name, item.action, *counts, item.detail)
    deleted = [item for item in items if item.action == "deleted"]
    documents, freed = sum(item.documents for item in deleted), sum(item.bytes for item in deleted)
    verb = "would be deleted (dry run: nothing was done)" if dry_run else "deleted"
    Terminal().show(table, Text(f"\n{documents:,} documents, {size(freed)} of indices {verb}"))
