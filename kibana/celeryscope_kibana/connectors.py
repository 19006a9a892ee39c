"""Where Kibana's rules tell of alerts: its log and an index; webhook, Slack and e-mail for who has the licence."""

from collections.abc import Collection, Iterable, Mapping

from celeryscope import semconv
from celeryscope.errors import ConfigError
from celeryscope_kibana.alerting import Connector, identifier
from celeryscope_kibana.mail import mail_of


def connectors(
    space: str = "", webhook: str | None = None, slack: str | None = None, email: str | None = None
) -> tuple[Connector, ...]:
    """The connectors of our rules in a space, with their secrets: all but the space are addresses.

    Raises ConfigError for an address of e-mail that is none.
    """
    index = {"index": semconv.INDEX_KIBANA_ALERTS, "refresh": False, "executionTimeField": None}
    found = [
        _connector(space, ".server-log", "celeryscope: Kibana's log", {}),
        _connector(space, ".index", f"celeryscope: {semconv.INDEX_KIBANA_ALERTS}", {"config": index}),
    ]
    if webhook:
        config = {"method": "post", "url": webhook, "hasAuth": False, "headers": {"Content-Type": "application/json"}}
        found.append(_connector(space, ".webhook", "celeryscope: webhook", {"config": config, "secrets": {}}))
    if slack:
        found.append(_connector(space, ".slack", "celeryscope: Slack", {"secrets": {"webhookUrl": slack}}))
    if email:
        mail = mail_of(email)
        body = {"config": mail.config, "secrets": mail.secrets}
        found.append(_connector(space, ".email", "celeryscope: e-mail", body, {"to": list(mail.to)}))
    return tuple(found)


def possible_connectors(space: str = "") -> tuple[Connector, ...]:
    """One of each kind that we may have made, for its id and name."""
    return connectors(space, webhook="-", slack="-", email="smtp://host?from=-&to=-")


def require_licence(wanted: Iterable[Connector], unlicensed: Collection[str]) -> None:
    """Raise ConfigError when the licence has not all of the connectors; ``unlicensed`` are the types it lacks."""
    paid = sorted(connector.type for connector in wanted if connector.type in unlicensed)
    if paid:
        raise ConfigError(
            f"Kibana's licence has no {' and no '.join(paid)} connectors: they need Gold or a trial. "
            "`celeryscope watch` evaluates the same rules and notifies by mail, Slack, webhook and more without it."
        )


def _connector(
    space: str, kind: str, name: str, more: Mapping[str, object], params: dict[str, object] | None = None
) -> Connector:
    body = {"name": name, "connector_type_id": kind, **more}
    return Connector(identifier(f"connector {kind}", space), kind, body, params or {})
