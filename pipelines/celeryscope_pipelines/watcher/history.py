"""The document of a change in ``celery-alerts``. Pure."""

from typing import Any, Final

from celeryscope import semconv
from celeryscope.service.rules.models import Rule
from celeryscope_pipelines.watcher.alerts import Change

ENTITIES: Final = (
    semconv.TENANT,
    semconv.TASK_NAME,
    semconv.TASK_ID,
    semconv.WORKER,
    semconv.MESSAGING_DESTINATION,
    semconv.SCHEDULE,
    semconv.BROKER,
    semconv.FINGERPRINT,
    semconv.FAILURE_TITLE,
    semconv.SERVICE_NAME,
    semconv.SERVICE_VERSION,
    semconv.DEPLOYMENT_ENVIRONMENT,
    semconv.HOST_NAME,
    semconv.OWNER_TEAM,
    semconv.OWNER_SEVERITY,
    semconv.OWNER_RUNBOOK,
)
"""Columns that stand in the document under their own names, when the row has them."""


def document(change: Change, rule: Rule, silenced_by: str, link: str = "") -> tuple[str, dict[str, Any]]:
    """Id and body; the same change has the same id however often it is written.

    ``link`` is where Kibana shows it, if that is known.
    """
    alert = change.alert
    assert alert.fired_at is not None
    body: dict[str, Any] = {name: alert.row[name] for name in ENTITIES if name in alert.row}
    body |= {
        "@timestamp": change.at.isoformat(),
        semconv.ALERT_ID: alert.id,
        semconv.ALERT_RULE: alert.rule,
        semconv.ALERT_KEY: alert.key,
        semconv.ALERT_TITLE: rule.title,
        semconv.ALERT_CATEGORY: rule.category,
        semconv.ALERT_SEVERITY: alert.severity,
        semconv.ALERT_STATUS: change.status,
        semconv.ALERT_STARTED_AT: alert.started_at.isoformat(),
        semconv.ALERT_FIRED_AT: alert.fired_at.isoformat(),
        semconv.ALERT_MESSAGE: alert.message,
        semconv.ALERT_SHOW: alert.show,
    }
    if change.status == "resolved":
        body[semconv.ALERT_RESOLVED_AT] = change.at.isoformat()
    if link:
        body[semconv.ALERT_LINK] = link
    if silenced_by:
        body[semconv.ALERT_SILENCED_BY] = silenced_by
    return f"{alert.id}/{change.status}", body
