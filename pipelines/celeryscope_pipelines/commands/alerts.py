"""``celeryscope alerts``: what fires, what fired, and silences."""

import getpass
import secrets
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import click
from elasticsearch import Elasticsearch
from rich.text import Text

from celeryscope import semconv
from celeryscope.errors import NotFound
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect, our_errors
from celeryscope.service.options import json_option, since_option
from celeryscope.service.rules.models import duration
from celeryscope.service.rules.reading import nearest, read_rules
from celeryscope.service.terminal import Terminal, plain_table, show_json
from celeryscope_pipelines.views.wording import one_line
from celeryscope_pipelines.watcher.silences import Silence
from celeryscope_pipelines.watcher.state import State
from celeryscope_pipelines.watcher.store import Document, Silences

_MOST = 500


def _with_client(command: Any) -> Any:
    @click.option("--elasticsearch-url", metavar="URL", help="Elasticsearch.  [env: CELERYSCOPE_ELASTICSEARCH_URL]")
    @wraps(command)
    def connected(*args: Any, elasticsearch_url: str | None, **options: Any) -> Any:
        with connect(ElasticsearchSettings.load(url=elasticsearch_url)) as client:
            return command(client, *args, **options)

    return connected


@click.group()
def alerts() -> None:
    """What `celeryscope watch` has found, and silences for what people know already."""


@alerts.command("list")
@click.option("--name", default="default", show_default=True, help="Of the watchers of this name.")
@json_option
@_with_client
def list_alerts(client: Elasticsearch, name: str, as_json: bool) -> None:
    """The alerts that fire now, the worst first."""
    now = datetime.now(UTC)
    state = State.from_dict(Document(client, "state", f"state/{name}").read() or {})
    firing = sorted((alert for alert in state.alerts.values() if alert.fired_at), key=lambda alert: alert.started_at)
    if as_json:
        known = [
            {"id": alert.id, "rule": alert.rule, "key": alert.key, "severity": alert.severity, "message": alert.message}
            | {"started_at": alert.started_at.isoformat(), "show": alert.show}
            for alert in firing
        ]
        show_json({"alerts": known, "undelivered": len(state.messages)})
        return
    terminal = Terminal()
    table = plain_table("since", "severity", "rule", "")
    for alert in firing:
        table.add_row(f"{alert.started_at:%m-%d %H:%M:%S}", alert.severity, alert.rule, one_line(alert.message))
    terminal.show(table if firing else Text(f"Nothing fires at {now:%Y-%m-%d %H:%M:%S} UTC."))
    if state.messages:
        terminal.show(Text(f"{len(state.messages)} messages could not be delivered yet.", "yellow"))


@alerts.command()
@since_option("24h")
@click.option("--rule", help="Only alerts of this rule.")
@json_option
@_with_client
def history(client: Elasticsearch, since: datetime, rule: str | None, as_json: bool) -> None:
    """What fired and was resolved, the latest first."""
    filters: list[dict[str, Any]] = [{"range": {"@timestamp": {"gte": since.isoformat()}}}]
    if rule:
        filters.append({"term": {semconv.ALERT_RULE: rule}})
    with our_errors():
        found = client.search(
            index=semconv.INDEX_ALERTS,
            query={"bool": {"filter": filters}},
            sort=[{"@timestamp": "desc"}],
            size=_MOST,
        )
    documents = [hit["_source"] for hit in found["hits"]["hits"]]
    if as_json:
        show_json({"changes": documents})
        return
    table = plain_table("at", "status", "severity", "rule", "", "silenced by")
    for body in documents:
        table.add_row(
            body["@timestamp"][:19].replace("T", " "),
            body[semconv.ALERT_STATUS],
            body[semconv.ALERT_SEVERITY],
            body[semconv.ALERT_RULE],
            one_line(body[semconv.ALERT_MESSAGE]),
            body.get(semconv.ALERT_SILENCED_BY, ""),
        )
    Terminal().show(table if documents else Text("No alert fired or was resolved in this time."))


@alerts.command()
@click.option("--rule", "of_rules", multiple=True, metavar="RULE", help="Only this rule's alerts; may be given again.")
@click.option("--match", "matches", multiple=True, metavar="COLUMN=PATTERN", help="e.g. celery.task_name='shop.*'")
@click.option("--for", "length", default="2h", show_default=True, metavar="TIME", help="e.g. 30m, 8h, 3d")
@click.option("--reason", default="", help="Why; everybody sees it.")
@_with_client
def silence(
    client: Elasticsearch, of_rules: tuple[str, ...], matches: tuple[str, ...], length: str, reason: str
) -> None:
    """Record alerts, but tell nobody of them for a while.

    \b
    Examples:
      celeryscope alerts silence --rule worker-down --match celery.worker='batch@*' --for 1h --reason 'new kernel'
      celeryscope alerts silence --match celery.owner.team=payments --for 30m
    """
    if not of_rules and not matches:
        raise click.UsageError("Say what to silence, with --rule or --match; `--rule '*'` is everything.")
    known = [rule.id for rule in read_rules()]
    for rule in of_rules:
        if rule not in known and "*" not in rule:
            raise NotFound(f"There is no rule `{rule}`: {nearest(rule, known)}")
    now = datetime.now(UTC)
    try:
        until = now + duration(length)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    made = Silence(secrets.token_hex(4), of_rules, _match(matches), until, getpass.getuser(), reason)
    Silences(client).add(made)
    click.echo(
        f"Silence {made.id} until {until:%Y-%m-%d %H:%M:%S} UTC; `celeryscope alerts unsilence {made.id}` ends it."
    )


@alerts.command()
@json_option
@_with_client
def silences(client: Elasticsearch, as_json: bool) -> None:
    """The silences that are in force."""
    found = Silences(client).all(datetime.now(UTC))
    if as_json:
        show_json({"silences": [one.as_dict() for one in found]})
        return
    table = plain_table("silence", "until", "rules", "columns", "by", "reason")
    for one in found:
        match = ", ".join(f"{column}={'|'.join(patterns)}" for column, patterns in one.match.items())
        table.add_row(one.id, f"{one.until:%Y-%m-%d %H:%M}", ", ".join(one.rules) or "all", match, one.by, one.reason)
    Terminal().show(table if found else Text("No silence is in force."))


@alerts.command()
@click.argument("identity", metavar="SILENCE")
@_with_client
def unsilence(client: Elasticsearch, identity: str) -> None:
    """End a silence now; its first characters are enough."""
    ended = Silences(client).end(identity, datetime.now(UTC))
    click.echo(f"Silence {ended.id} is over.")


def _match(written: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in written:
        column, sign, pattern = one.partition("=")
        if not (column and sign and pattern):
            raise click.BadParameter(f"{one!r} is not COLUMN=PATTERN.", param_hint="--match")
        found[column] = (*found.get(column, ()), pattern)
    return found
