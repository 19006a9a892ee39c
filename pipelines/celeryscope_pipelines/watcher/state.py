"""What the watcher must not forget, as one document that is written as a whole or not at all."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from celeryscope_pipelines.watcher.alerts import Alert, Alerts
from celeryscope_pipelines.watcher.incidents import Incident, Incidents
from celeryscope_pipelines.watcher.messages import Message

_TIMES: Final = ("pending_since", "fired_at", "missing_since", "started_at")


@dataclass(slots=True)
class State:
    """Alerts that are pending or fire, what people were told, and what is still to be done."""

    alerts: Alerts = field(default_factory=dict)
    incidents: Incidents = field(default_factory=dict)
    history: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Documents by their ids that ``celery-alerts`` does not have yet."""
    messages: list[Message] = field(default_factory=list)
    """Those that no target has taken yet, the oldest first."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "alerts": [_alert_as_dict(alert) for alert in self.alerts.values()],
            "incidents": [
                asdict(incident) | {"told_at": incident.told_at.isoformat()} for incident in self.incidents.values()
            ],
            "history": self.history,
            "messages": [message.as_dict() for message in self.messages],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "State":
        """What ``as_dict`` gave."""
        alerts = [_alert(known) for known in content.get("alerts", ())]
        incidents = [_incident(known) for known in content.get("incidents", ())]
        return cls(
            alerts={alert.name: alert for alert in alerts},
            incidents={incident.subject: incident for incident in incidents},
            history=dict(content.get("history", {})),
            messages=[Message.from_dict(known) for known in content.get("messages", ())],
        )


def _alert_as_dict(alert: Alert) -> dict[str, Any]:
    known = asdict(alert)
    return known | {name: known[name].isoformat() for name in _TIMES if known[name] is not None}


def _alert(known: dict[str, Any]) -> Alert:
    times = {name: datetime.fromisoformat(known[name]) for name in _TIMES if known[name] is not None}
    return Alert(**{**known, "subject": tuple(known["subject"]), **times})


def _incident(known: dict[str, Any]) -> Incident:
    told_at = datetime.fromisoformat(known["told_at"])
    return Incident(
        **{**known, "told_at": told_at, "alerts": tuple(known["alerts"]), "targets": tuple(known["targets"])}
    )
