"""``celeryscope watch``: evaluates the alert rules and tells people."""

from datetime import UTC, datetime

import click

from celeryscope.errors import Rejected
from celeryscope.service import logging as service_logging
from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope_pipelines.settings import WatchSettings


@click.command()
@click.option("--once", is_flag=True, help="Evaluate all rules once, tell people, and end; for cron.")
@click.option("--dry-run", is_flag=True, help="Evaluate all rules once and only say what they find.")
@click.option("--http-port", type=int, help="Port of /metrics, /healthz and /readyz; 0 takes a free one.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Lowest level to log.")
def watch(once: bool, dry_run: bool, http_port: int | None, log_level: str | None) -> None:
    """Evaluate the alert rules until SIGTERM, and tell people what they find.

    Run two of them: one is active, the other takes over when it is gone. What they know is kept in Elasticsearch, so
    that a restart neither repeats nor forgets an alert. `celeryscope rules` shows the rules, `celeryscope alerts` what
    they found.

    \b
    Settings: CELERYSCOPE_ELASTICSEARCH_*, CELERYSCOPE_WATCH_* (docs/alerts.md, docs/settings.md). Example:
        CELERYSCOPE_WATCH_TARGETS='ops=slack://...' CELERYSCOPE_WATCH_RULES=alerts.yaml celeryscope watch
    """
    from celeryscope_pipelines.watcher import service

    settings = WatchSettings.load(http_port=http_port, log_level=log_level)
    service_logging.configure(settings.log_level, settings.log_format)
    elasticsearch = ElasticsearchSettings.load()
    if dry_run:
        _only_say(settings, elasticsearch)
    elif once:
        for change in service.run_once(settings, elasticsearch):
            click.echo(f"{change.status}: {change.alert.rule}: {change.alert.message}")
    else:
        service.run(settings, elasticsearch)


def _only_say(settings: WatchSettings, elasticsearch: ElasticsearchSettings) -> None:
    from celeryscope.service.rules.adjusting import settings_file
    from celeryscope.service.rules.reading import read_rules
    from celeryscope_pipelines.watcher.evaluation import evaluate

    rules, _ = settings_file(settings.rules, read_rules())
    now = datetime.now(UTC)
    with connect(elasticsearch) as client:
        for rule in rules:
            try:
                findings = evaluate(client, rule, now)
            except Rejected as error:
                click.echo(f"{rule.rule.id}: can't be evaluated: {error}", err=True)
                continue
            for finding in findings:
                click.echo(f"{rule.severity}: {rule.rule.id}: {finding.message}")
