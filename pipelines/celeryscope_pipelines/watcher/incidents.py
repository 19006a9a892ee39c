"""Which alerts people are told of, when, and together with which others. Pure.

Alerts about the same subject are one incident: whoever is told that a task fails need not be told a second time that it
fails in a new way. An incident is told of when it begins, when it gets worse, when further alerts have joined it and
some time has passed, again while it lasts, and when it is over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from celeryscope import semconv
from celeryscope.service.rules.adjusting import Route
from celeryscope.service.rules.models import SEVERITIES, Severity
from celeryscope_pipelines.watcher.alerts import Alert
from celeryscope_pipelines.watcher.silences import matches

Incidents = dict[str, "Incident"]
"""By subject."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that people were told of."""

    subject: str
    severity: Severity
    told_at: datetime
    alerts: tuple[str, ...]
    """Ids of those that people were told of."""
    targets: tuple[str, ...]
    """Names of those who were told."""
    rule: str
    """Of its most severe alert, like the message."""
    message: str
    owner: str
    """The team, else the service, that it belongs to."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often people are told of the same incident."""

    again: timedelta
    joined: timedelta
    """After how much time further alerts of it are told of."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a target is to be told of one incident."""

    kind: Literal["firing", "still firing", "resolved"]
    incident: Incident
    alerts: tuple[Alert, ...]
    """The worst first; none when it is resolved."""


def announce(
    known: Incidents, firing: Iterable[Alert], loud: Iterable[Alert], targets: "Targeting", pace: Pace, now: datetime
) -> tuple[Incidents, list[Notice]]:
    """The incidents after this, and what is to be told; ``loud`` are those of ``firing`` that are not silenced."""
    after: Incidents = {}
    notices: list[Notice] = []
    alive = {subject_of(alert) for alert in firing}
    by_subject: dict[str, list[Alert]] = {}
    for alert in loud:
        by_subject.setdefault(subject_of(alert), []).append(alert)
    for subject, alerts in by_subject.items():
        alerts.sort(key=lambda alert: (-SEVERITIES.index(alert.severity), alert.fired_at))
        before = known.get(subject)
        if before is not None and not _is_due(before, alerts, pace, now):
            after[subject] = before
            continue
        told = targets.of(alerts) if before is None else tuple(dict.fromkeys((*before.targets, *targets.of(alerts))))
        ids = tuple(alert.id for alert in alerts)
        incident = Incident(
            subject, alerts[0].severity, now, ids, told, alerts[0].rule, alerts[0].message, _owner(alerts[0])
        )
        after[subject] = incident
        is_news = before is None or not set(ids) <= set(before.alerts) or alerts[0].severity != before.severity
        notices.append(Notice("firing" if is_news else "still firing", incident, tuple(alerts)))
    for subject, incident in known.items():
        if subject in alive:
            after.setdefault(subject, incident)
        else:
            notices.append(Notice("resolved", incident, ()))
    return after, notices


class Targeting:
    """Who is told of which alerts: of the routes the first that matches, or everybody when there are none."""

    def __init__(self, routes: tuple[Route, ...], everybody: Iterable[str]) -> None:
        self._routes = routes
        self._everybody = tuple(everybody)

    def of(self, alerts: Iterable[Alert]) -> tuple[str, ...]:
        """Names of the targets, each once."""
        return tuple(dict.fromkeys(name for alert in alerts for name in self._of_one(alert)))

    def _of_one(self, alert: Alert) -> tuple[str, ...]:
        if not self._routes:
            return self._everybody
        return next((route.notify for route in self._routes if _takes(route, alert)), ())


def _takes(route: Route, alert: Alert) -> bool:
    match: Mapping[str, tuple[str, ...]] = route.match | ({semconv.OWNER_TEAM: route.teams} if route.teams else {})
    return (not route.severities or alert.severity in route.severities) and matches(alert, route.rules, match)


def subject_of(alert: Alert) -> str:
    """The subject as one text."""
    return " ".join(alert.subject)


def _is_due(before: Incident, alerts: list[Alert], pace: Pace, now: datetime) -> bool:
    worse = SEVERITIES.index(alerts[0].severity) > SEVERITIES.index(before.severity)
    joined = any(alert.id not in before.alerts for alert in alerts)
    quiet_for = now - before.told_at
    return worse or (joined and quiet_for >= pace.joined) or (pace.again > timedelta(0) and quiet_for >= pace.again)


def _owner(alert: Alert) -> str:
    for column in (semconv.OWNER_TEAM, semconv.SERVICE_NAME, semconv.TENANT):
        if found := alert.row.get(column):
            return ", ".join(found) if isinstance(found, list) else str(found)
    return ""
