"""What becomes of alerts from one evaluation to the next. Pure.

A finding is a pending alert until its rule's ``hold`` is over, then it fires. An alert whose finding has stayed away
for ``resolve_after`` is resolved; before that it only pauses, so that a value about the threshold is one alert.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from celeryscope.service.rules.adjusting import ActiveRule
from celeryscope.service.rules.models import Severity
from celeryscope_pipelines.watcher.evaluation import Finding

Alerts = dict[str, "Alert"]
"""By rule and key."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong. What only describes it is no part of a comparison, so that it costs no write."""

    rule: str
    key: str
    subject: tuple[str, ...]
    severity: Severity
    pending_since: datetime
    fired_at: datetime | None = None
    missing_since: datetime | None = None
    """Since when no row has told of it any more."""
    started_at: datetime = field(compare=False, kw_only=True)
    row: Mapping[str, Any] = field(compare=False, kw_only=True)
    message: str = field(compare=False, kw_only=True)
    show: str = field(compare=False, kw_only=True)

    @property
    def name(self) -> str:
        """Its place among all alerts."""
        return f"{self.rule}/{self.key}"

    @property
    def id(self) -> str:
        """Of this alert from firing until resolved: the next one of the same name is another."""
        return hashlib.sha256(f"{self.name} {self.fired_at}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Change:
    """An alert fires, or is resolved."""

    status: Literal["firing", "resolved"]
    alert: Alert
    at: datetime


def advance(known: Alerts, rule: ActiveRule, findings: Iterable[Finding], now: datetime) -> tuple[Alerts, list[Change]]:
    """The alerts of all rules after an evaluation of one of them, and what changed for people.

    What another rule's alert explains does not begin to fire; what fires already goes on.
    """
    after = dict(known)
    changes: list[Change] = []
    found = {f"{finding.rule}/{finding.key}": finding for finding in findings}
    for name, finding in found.items():
        before = known.get(name)
        if (before is None or before.fired_at is None) and is_explained(finding.row, rule, known):
            after.pop(name, None)
            continue
        after[name] = _found(before, finding, rule, now)
        if after[name].fired_at is not None and (before is None or before.fired_at is None):
            changes.append(Change("firing", after[name], now))
    for name, alert in known.items():
        if alert.rule != rule.rule.id or name in found:
            continue
        since = alert.missing_since or now
        if alert.fired_at is None:
            del after[name]
        elif now - since >= rule.rule.resolve_after:
            del after[name]
            changes.append(Change("resolved", alert, now))
        else:
            after[name] = replace(alert, missing_since=since)
    return after, changes


def is_explained(row: Mapping[str, Any], rule: ActiveRule, known: Alerts) -> bool:
    """Whether an alert of another rule, be it pending yet, is the cause of what the row tells."""
    return any(
        alert.rule == inhibition.rule and all(_agree(alert.row, row, column) for column in inhibition.equal)
        for inhibition in rule.rule.inhibited_by
        for alert in known.values()
    )


def _agree(one: Mapping[str, Any], other: Mapping[str, Any], column: str) -> bool:
    """Whether both have a value in common; a column may hold several."""
    return not _values(one.get(column)).isdisjoint(_values(other.get(column)))


def _values(value: Any) -> set[Any]:
    return set(value) if isinstance(value, list) else {value}


def causes_first(rules: Iterable[ActiveRule]) -> tuple[ActiveRule, ...]:
    """The rules in an order in which each comes after those that may explain its findings."""
    left = {rule.rule.id: rule for rule in rules}
    ordered: list[ActiveRule] = []
    while left:
        free = [
            rule for rule in left.values() if not any(inhibition.rule in left for inhibition in rule.rule.inhibited_by)
        ]
        # A circle has no such order; any will do.
        ordered += free or left.values()
        left = {rule.rule.id: rule for rule in left.values() if rule not in ordered}
    return tuple(ordered)


def _found(before: Alert | None, finding: Finding, rule: ActiveRule, now: datetime) -> Alert:
    begun = before.pending_since if before else now
    fired_at = before.fired_at if before else None
    if fired_at is None and now - begun >= rule.hold:
        fired_at = now
    return Alert(
        rule=finding.rule,
        key=finding.key,
        subject=finding.subject,
        severity=rule.severity,
        pending_since=begun,
        fired_at=fired_at,
        started_at=before.started_at if before and before.fired_at else finding.since,
        row=finding.row,
        message=finding.message,
        show=finding.show,
    )
