"""From our alert rules to Kibana's: the bodies of its API. Pure.

Kibana runs a rule's ES|QL text as it stands (type ``.es-query``, ``searchType: esqlQuery``, one alert a row).
Sources: Kibana's reference of the alerting API, 8.19.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from celeryscope import semconv
from celeryscope.service import kibana_views as views
from celeryscope.service.rules.adjusting import ActiveRule
from celeryscope.service.rules.models import shown

_IDS: Final = uuid.UUID("6f1f5b0e-5d0f-5c0a-9a52-6a1f0b3c7d11")
"""Names of ours become ids by UUIDv5 under it: Kibana takes no others."""

RULE_TYPE: Final = ".es-query"
CONSUMER: Final = "stackAlerts"
TAG: Final = "celeryscope"
_DIGEST: Final = "celeryscope-digest:"
FIRES: Final = "query matched"
RESOLVES: Final = "recovered"
_FIXED: Final = frozenset({"rule_type_id", "consumer", "enabled"})
"""What a rule is made with and can't be changed to."""

_LEVELS: Final = {"low": "info", "medium": "warn", "high": "error", "critical": "error"}


class Connector(NamedTuple):
    """Where Kibana tells of alerts: its id, its type, the body that makes it, and what each action adds for it."""

    id: str
    type: str
    body: dict[str, Any]
    params: dict[str, Any]


def identifier(name: str, space: str) -> str:
    """The id of a rule or connector of ours; one id is for one space only."""
    return str(uuid.uuid5(_IDS, f"{space or 'default'}/{name}"))


def rule_body(active: ActiveRule, connectors: Iterable[Connector], space: str = "") -> dict[str, Any]:
    """What makes a rule of a space: everything of it, with a tag that holds the digest of all else."""
    rule = active.rule
    window = int(rule.window.total_seconds())
    runs = -(-int(active.hold.total_seconds()) // int(active.interval.total_seconds()))
    body: dict[str, Any] = {
        "name": f"celeryscope: {rule.title}",
        "rule_type_id": RULE_TYPE,
        "consumer": CONSUMER,
        "enabled": True,
        "schedule": {"interval": shown(active.interval)},
        "params": {
            "searchType": "esqlQuery",
            "esqlQuery": {"esql": active.query},
            "timeField": rule.time_field,
            "timeWindowSize": window // 60 if window % 60 == 0 else window,
            "timeWindowUnit": "m" if window % 60 == 0 else "s",
            "threshold": [0],
            "thresholdComparator": ">",
            "size": 100,
            "groupBy": "row",
            "aggType": "count",
            "excludeHitsFromPreviousRun": False,
        },
        "actions": [action for connector in connectors for action in _actions(active, connector, space)],
        # Always: a change that leaves it out keeps what was.
        "alert_delay": {"active": runs + 1},
        "tags": [TAG, f"severity:{active.severity}", f"category:{rule.category}"],
    }
    body["tags"].append(_DIGEST + digest(body))
    return body


def change_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a rule's body that changes one that is there."""
    return {key: value for key, value in body.items() if key not in _FIXED}


def is_changed_by_user(found: Mapping[str, Any]) -> bool:
    """Whether a rule is no longer as we made it: its content and the digest in its tags don't agree."""
    stored = stored_digest(found)
    return stored is None or stored != digest(found)


def stored_digest(found: Mapping[str, Any]) -> str | None:
    """The digest that was noted when the rule was made; None for a rule that isn't ours."""
    return next((tag[len(_DIGEST) :] for tag in found.get("tags", []) if tag.startswith(_DIGEST)), None)


def digest(body: Mapping[str, Any]) -> str:
    """Of all that we write of a rule; what Kibana adds by itself does not count, nor whether the rule is on."""
    actions = [
        {key: action.get(key) for key in ("group", "id", "params")}
        for action in sorted(body.get("actions", []), key=lambda item: (str(item.get("id")), str(item.get("group"))))
    ]
    params = {key: body.get("params", {}).get(key) for key in _PARAMS}
    seen = {
        "name": body.get("name"),
        "interval": body.get("schedule", {}).get("interval"),
        "params": params,
        "actions": actions,
        "delay": (body.get("alert_delay") or {}).get("active"),
        "tags": sorted(tag for tag in body.get("tags", []) if not tag.startswith(_DIGEST)),
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


_PARAMS: Final = ("searchType", "esqlQuery", "timeField", "timeWindowSize", "timeWindowUnit", "groupBy", "threshold")


def _actions(active: ActiveRule, connector: Connector, space: str) -> Iterable[dict[str, Any]]:
    frequency = {"summary": False, "notify_when": "onActionGroupChange", "throttle": None}
    for group in (FIRES, RESOLVES):
        firing = group == FIRES
        text = _firing(active, space) if firing else f"Resolved: {active.rule.title}: {{{{alert.id}}}}"
        params = connector.params | _PARAMS_OF[connector.type](active, text, firing=firing)
        yield {"group": group, "id": connector.id, "params": params, "frequency": frequency}


def _firing(active: ActiveRule, space: str) -> str:
    # The base is empty when Kibana was not told its own address (server.publicBaseUrl).
    view = views.Kibana("{{{kibanaBaseUrl}}}", space).of_view(active.rule.dashboard)
    return (
        f"{active.rule.title} ({active.severity}): {{{{alert.id}}}} since {{{{context.date}}}}\n"
        f"{active.means()}\nWhat to do: {active.rule.what_to_do}\n{{{{{{context.link}}}}}}\n"
        f"{{{{#kibanaBaseUrl}}}}View: {view}{{{{/kibanaBaseUrl}}}}"
    )


def _log_line(active: ActiveRule, text: str, *, firing: bool) -> dict[str, Any]:
    return {"level": _LEVELS[active.severity] if firing else "info", "message": text}


def _document(active: ActiveRule, text: str, *, firing: bool) -> dict[str, Any]:
    document = {
        "@timestamp": "{{date}}",
        semconv.ALERT_RULE: active.rule.id,
        semconv.ALERT_KEY: "{{alert.id}}",
        semconv.ALERT_TITLE: active.rule.title,
        semconv.ALERT_CATEGORY: active.rule.category,
        semconv.ALERT_SEVERITY: active.severity,
        semconv.ALERT_STATUS: "firing" if firing else "resolved",
        semconv.ALERT_MESSAGE: text,
        semconv.ALERT_LINK: "{{{context.link}}}",
    }
    return {"documents": [document]}


def _webhook(active: ActiveRule, text: str, *, firing: bool) -> dict[str, Any]:
    return {"body": json.dumps(_document(active, text, firing=firing)["documents"][0])}


def _message(_: ActiveRule, text: str, *, firing: bool) -> dict[str, Any]:  # noqa: ARG001 - as the others
    return {"message": text}


def _mail(active: ActiveRule, text: str, *, firing: bool) -> dict[str, Any]:
    status = active.severity if firing else "resolved"
    return {"subject": f"[{status}] celeryscope: {active.rule.title}", "message": text}


_PARAMS_OF: Final = {
    ".server-log": _log_line,
    ".index": _document,
    ".webhook": _webhook,
    ".slack": _message,
    ".email": _mail,
}
"""By the connector's type: what it is told."""
