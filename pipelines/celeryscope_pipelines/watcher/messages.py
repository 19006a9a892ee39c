"""Notices as messages for people: one for each target and team or service. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from celeryscope import semconv
from celeryscope.service.kibana_views import Kibana
from celeryscope.service.rules.models import Rule
from celeryscope_pipelines.watcher.alerts import Alert
from celeryscope_pipelines.watcher.incidents import Notice

Kind: TypeAlias = Literal["failure", "warning", "success"]


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent to one target, until it was."""

    id: str
    target: str
    title: str
    body: str
    kind: Kind
    not_before: datetime
    tries: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"not_before": self.not_before.isoformat()}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> "Message":
        """What ``as_dict`` gave."""
        return cls(**{**known, "not_before": datetime.fromisoformat(known["not_before"])})


def messages_of(
    notices: Iterable[Notice], rules: Mapping[str, Rule], now: datetime, kibana: Kibana | None = None
) -> list[Message]:
    """The messages in which the notices are told, with links to the views if it is known where Kibana is."""
    groups: dict[tuple[str, str, bool], list[Notice]] = {}
    for notice in notices:
        for target in notice.incident.targets:
            groups.setdefault((target, notice.incident.owner, notice.kind == "resolved"), []).append(notice)
    return [
        Message(
            f"{now.isoformat()}/{number}", target, _title(group, rules), _body(group, rules, kibana), _kind(group), now
        )
        for number, ((target, _, _), group) in enumerate(groups.items())
    ]


def _kind(notices: list[Notice]) -> Kind:
    if notices[0].kind == "resolved":
        return "success"
    return "failure" if any(notice.incident.severity in {"critical", "high"} for notice in notices) else "warning"


def _title(notices: list[Notice], rules: Mapping[str, Rule]) -> str:
    first = notices[0]
    status = "resolved" if first.kind == "resolved" else first.incident.severity
    again = "still: " if first.kind == "still firing" else ""
    more = f" and {len(notices) - 1} more" if len(notices) > 1 else ""
    owner = f" ({first.incident.owner})" if first.incident.owner else ""
    known = rules.get(first.incident.rule)
    return f"[{status}] {again}{known.title if known else first.incident.rule}{more}{owner}"


def link_of(alert: Alert, rule: Rule, kibana: Kibana | None) -> str:
    """The address of the view of what the alert is about; nothing when it is not known where Kibana is."""
    return kibana.of_alert(rule.dashboard, rule.group, alert.row, alert.started_at) if kibana else ""


def _body(notices: list[Notice], rules: Mapping[str, Rule], kibana: Kibana | None) -> str:
    parts: list[str] = []
    for notice in notices:
        parts += [_paragraph(alert, rules[alert.rule], kibana) for alert in notice.alerts]
        if notice.kind == "resolved":
            parts.append(f"Over: {notice.incident.message}")
    return "\n\n".join(parts)


def _paragraph(alert: Alert, rule: Rule, kibana: Kibana | None) -> str:
    lines = [f"{rule.title}: {alert.message}", f"Since {alert.started_at:%Y-%m-%d %H:%M:%S} UTC. {rule.what_to_do}"]
    if runbook := alert.row.get(semconv.OWNER_RUNBOOK):
        lines.append(f"Runbook: {runbook}")
    lines.append(f"See: {alert.show}")
    if link := link_of(alert, rule, kibana):
        lines.append(f"In Kibana: {link}")
    return "\n".join(lines)
