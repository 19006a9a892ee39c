"""``celeryscope audit``."""

from datetime import datetime

import click
import orjson
from rich.console import Console
from rich.table import Table

from celeryscope.errors import NotFound, Unbalanced
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.audit.account import Account
from celeryscope_pipelines.audit.audit import audit as run_audit
from celeryscope_pipelines.elasticsearch import connect
from celeryscope_pipelines.settings import ElasticsearchSettings
from celeryscope_pipelines.views.options import since_option

_NAMED = 5


@click.command()
@since_option(None)
@click.option("--tenant", help="Only this tenant's records [default: all tenants].")
@click.option("--written", type=int, help="Records the workers shipped (`celeryscope spool status`); must match too.")
@click.option("--wait", type=float, default=0.0, help="Seconds to wait until it balances [default: 0].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def audit(since: datetime | None, tenant: str | None, written: int | None, wait: float, as_json: bool) -> None:
    """Prove that nothing was lost: look up each record that is in Kafka.

    A record is accounted for if its document is in Elasticsearch, a later snapshot of the same attempt is, or it is a
    dead letter. Ends with exit code 1 when any record is missing.

    \b
    Example, ten minutes after a deployment:
        celeryscope audit --since 10m
    """
    told = Console(stderr=True)
    with connect(ElasticsearchSettings.load()) as client, told.status("Looking up every record …"):
        account = run_audit(KafkaSettings.load(), client, since=since, tenant=tenant, written=written, wait=wait)
    if not account.distinct and not written:
        raise NotFound("Kafka has no such records. Is --tenant right, and does --since reach back far enough?")
    if as_json:
        click.echo(orjson.dumps(account.as_dict(), option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(_table(account))
    if not account.balanced:
        raise Unbalanced(_what_is_wrong(account))


def _table(account: Account) -> Table:
    table = Table(title="Account", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    if account.written is not None:
        table.add_row("shipped by the workers", f"{account.written:,}")
    table.add_row("in Kafka, distinct", f"{account.distinct:,}")
    table.add_row("in Kafka, repeated", f"{account.repeated:,}", end_section=True)
    table.add_row("found: spans", f"{account.found['spans']:,}")
    table.add_row("found: log lines and failures", f"{account.found['logs']:,}")
    table.add_row("found: snapshots of attempts", f"{account.found['snapshots']:,}")
    table.add_row("dead letters", f"{account.dead_letters:,}")
    table.add_row("missing", f"{len(account.missing):,}", end_section=True)
    table.add_row("balanced", "yes" if account.balanced else "NO")
    return table


def _what_is_wrong(account: Account) -> str:
    problems = []
    if account.missing:
        names = ", ".join(account.missing[:_NAMED])
        problems.append(f"{len(account.missing)} records of Kafka are not in Elasticsearch: {names}")
    if account.unaccounted > 0:
        problems.append(f"{account.unaccounted} records that the workers shipped are not in Kafka")
    if account.unaccounted < 0:
        problems.append(f"Kafka has {-account.unaccounted} records more than the workers shipped (an earlier spool's?)")
    return "; ".join(problems) + ". Is the indexer running and done? --wait gives it time."
