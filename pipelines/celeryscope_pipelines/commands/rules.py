"""``celeryscope rules``: the alert rules, what they mean, and what they find."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from celeryscope.errors import NotFound
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope.service.options import json_option, moment
from celeryscope.service.rules.adjusting import ActiveRule, settings_file
from celeryscope.service.rules.models import shown, written
from celeryscope.service.rules.query import at as query_at
from celeryscope.service.rules.reading import nearest, read_rules
from celeryscope.service.terminal import Terminal, plain_table, show_json
from celeryscope_pipelines.settings import WatchSettings
from celeryscope_pipelines.watcher.evaluation import Finding, evaluate

_file = click.option(
    "--settings",
    "path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The operator's YAML file.  [env: CELERYSCOPE_WATCH_RULES]",
)


@click.group()
def rules() -> None:
    """The alert rules that `celeryscope watch` and Kibana evaluate."""


@rules.command("list")
@_file
@json_option
def list_rules(path: Path | None, as_json: bool) -> None:
    """All rules that are switched on, with the settings in force."""
    active = _active(path)
    if as_json:
        show_json({"rules": [_as_dict(rule) for rule in active]})
        return
    table = plain_table("rule", "severity", "about", "every", "")
    for rule in active:
        table.add_row(rule.rule.id, rule.severity, rule.rule.category, shown(rule.interval), rule.rule.title)
    Terminal().show(table)


@rules.command()
@click.argument("name")
@_file
@json_option
def explain(name: str, path: Path | None, as_json: bool) -> None:
    """What a rule means, what to do about its alerts, its thresholds, and its query as it is run."""
    active = _one(_active(path), name)
    rule = active.rule
    if as_json:
        show_json(_as_dict(active))
        return
    table = plain_table("parameter", "value", "by", "")
    for parameter, known in rule.parameters.items():
        table.add_row(parameter, written(active.values[parameter]), known.by or "", known.description)
    why = "Asked first by the watcher, which asks the query only if there is a row, and only about what it names"
    asked_first = [Text(f"\n{why}\n{active.candidates}")] if active.candidates else []
    Terminal().show(
        Text(f"{rule.title} ({rule.id})", "bold"),
        Text(f"{active.severity}; every {shown(active.interval)}, over {shown(rule.window)}"),
        Text(f"\nWhat it means\n{active.means()}"),
        Text(f"\nWhat to do\n{rule.what_to_do}\n"),
        table,
        Text(f"\nQuery, one alert for each {', '.join(rule.group)}\n{active.query}"),
        *asked_first,
    )


@rules.command()
@click.argument("name")
@click.option("--at", "moment_", callback=moment, metavar="TIME", help="As of then: 15m, 2h, or a date.  [now]")
@_file
@json_option
@click.option("--elasticsearch-url", metavar="URL", help="Elasticsearch.  [env: CELERYSCOPE_ELASTICSEARCH_URL]")
def test(name: str, moment_: datetime | None, path: Path | None, as_json: bool, elasticsearch_url: str | None) -> None:
    """Run a rule once and show the rows that would be alerts; nobody is told.

    With --at, documents later than that do not count; of workers, queues and schedules only the latest state is known.
    """
    active = _one(_active(path), name)
    now = moment_ or datetime.now(UTC)
    with connect(ElasticsearchSettings.load(url=elasticsearch_url)) as client:
        findings = evaluate(client, active, now)
    if as_json:
        show_json({"rule": name, "at": now.isoformat(), "findings": [_finding(finding) for finding in findings]})
        return
    terminal = Terminal()
    terminal.show(Text(query_at(active.query, now), "dim"), Text())
    if not findings:
        terminal.show(Text(f"{name} finds nothing at {now:%Y-%m-%d %H:%M:%S} UTC."))
    for finding in findings:
        row = plain_table("column", "value")
        for column, value in finding.row.items():
            row.add_row(column, str(value))
        terminal.show(Text(f"{active.severity}: {finding.message}", "bold"), row, Text(f"See: {finding.show}\n"))


def _active(path: Path | None) -> tuple[ActiveRule, ...]:
    return settings_file(path or WatchSettings.load().rules, read_rules())[0]


def _one(active: tuple[ActiveRule, ...], name: str) -> ActiveRule:
    known = {rule.rule.id: rule for rule in active}
    if name not in known:
        raise NotFound(f"There is no rule `{name}` that is switched on: {nearest(name, list(known))}")
    return known[name]


def _as_dict(active: ActiveRule) -> dict[str, Any]:
    rule = active.rule
    return {
        "id": rule.id,
        "title": rule.title,
        "severity": active.severity,
        "category": rule.category,
        "means": active.means(),
        "what_to_do": rule.what_to_do,
        "interval_seconds": active.interval.total_seconds(),
        "window_seconds": rule.window.total_seconds(),
        "group": list(rule.group),
        "parameters": {
            name: value.total_seconds() if isinstance(value, timedelta) else value
            for name, value in active.values.items()
        },
        "inhibited_by": [inhibition.rule for inhibition in rule.inhibited_by],
        "query": active.query,
        "candidates": active.candidates,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "key": finding.key,
        "since": finding.since.isoformat(),
        "message": finding.message,
        "show": finding.show,
        "row": finding.row,
    }
