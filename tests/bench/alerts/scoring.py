"""Alerts beside labels: which are right, which incidents were missed, and how long it took. Pure.

An alert is right when, within the time of an incident of its service, it names an entity that the incident affects; or,
when the incident is about the service as a whole, just the service. The time of an incident ends ``GRACE`` after its
label: rules look back at windows of five minutes, so that what was wrong in the last of them may still be told then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from alerts.scenario import Incident, Scenario

GRACE = 300.0


@dataclass(frozen=True)
class Alert:
    """The first notification of an alert, ``at`` seconds after the watcher's begin; ``names``: its entities."""

    at: float
    rule: str
    service: str
    names: frozenset[str]
    message: str = ""
    silent: bool = False
    """Nobody was told, because of a silence or a maintenance window."""


@dataclass
class Verdict:
    """What came of one scenario."""

    scenario: Scenario
    right: list[Alert] = field(default_factory=list)
    wrong: list[Alert] = field(default_factory=list)
    delays: dict[Incident, float | None] = field(default_factory=dict)
    """By incident: seconds from its first effect to its first right alert; None: missed."""

    @property
    def missed(self) -> list[Incident]:
        """Incidents without any right alert."""
        return [incident for incident, delay in self.delays.items() if delay is None]


@dataclass(frozen=True)
class Score:
    """Of a whole run; the shares are 1 when there is nothing to be right or wrong about."""

    precision: float
    recall: float
    median: float
    p95: float
    alerts: int
    incidents: int


def judge(
    scenarios: Sequence[Scenario], alerts: Iterable[Alert], effects: Mapping[str, Mapping[str, float]]
) -> tuple[list[Verdict], list[Alert]]:
    """A verdict for each scenario, and the alerts that belong to none; ``effects``: by scenario, then by happening."""
    verdicts = {scenario.name: Verdict(scenario) for scenario in scenarios}
    strangers = []
    owners = _owners(scenarios)
    for alert in sorted(alerts, key=lambda alert: alert.at):
        owner = owners.get(alert.service) or next((owners[name] for name in alert.names if name in owners), None)
        if owner is None:
            strangers.append(alert)
            continue
        verdict = verdicts[owner]
        known = effects.get(owner, {})
        about = [incident for incident in verdict.scenario.incidents if is_about(alert, incident, known)]
        (verdict.right if about else verdict.wrong).append(alert)
        for incident in about:
            verdict.delays.setdefault(incident, max(alert.at - begin_of(incident, known), 0.0))
    for verdict in verdicts.values():
        for incident in verdict.scenario.incidents:
            verdict.delays.setdefault(incident, None)
    return list(verdicts.values()), strangers


def begin_of(incident: Incident, effects: Mapping[str, float]) -> float:
    """When anyone could first see it."""
    return max(incident.begin, effects.get(incident.of, incident.begin))


def is_about(alert: Alert, incident: Incident, effects: Mapping[str, float]) -> bool:
    """Whether the alert tells of the incident."""
    begin = begin_of(incident, effects) if incident.cause is None else incident.cause
    if not begin <= alert.at <= incident.until + GRACE:
        return False
    return bool(alert.names & incident.entities) or not incident.entities


def score(verdicts: Sequence[Verdict], strangers: Sequence[Alert]) -> Score:
    """Precision, recall and times of a run."""
    right = sum(len(verdict.right) for verdict in verdicts)
    alerts = right + sum(len(verdict.wrong) for verdict in verdicts) + len(strangers)
    delays = [delay for verdict in verdicts for delay in verdict.delays.values()]
    found = sorted(delay for delay in delays if delay is not None)
    return Score(
        precision=right / alerts if alerts else 1.0,
        recall=len(found) / len(delays) if delays else 1.0,
        median=median(found) if found else float("inf"),
        p95=_p95(found),
        alerts=alerts,
        incidents=len(delays),
    )


def _p95(found: Sequence[float]) -> float:
    if len(found) < 2:
        return found[0] if found else float("inf")
    return quantiles(found, n=20, method="inclusive")[-1]


def _owners(scenarios: Sequence[Scenario]) -> dict[str, str]:
    """Names that only one scenario has."""
    owners: dict[str, str] = {}
    shared: set[str] = set()
    for scenario in scenarios:
        kinds = (*scenario.tasks, *scenario.workers, *scenario.schedules)
        queues = {kind.queue for kind in scenario.tasks}
        for name in {scenario.service, *(kind.name for kind in kinds), *queues}:
            if name in owners:
                shared.add(name)
            owners[name] = scenario.name
    return {name: owner for name, owner in owners.items() if name not in shared}
