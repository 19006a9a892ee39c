"""All metrics of the watcher; these names are a specification."""

from collections import Counter as Counting
from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from celeryscope.service.rules.models import SEVERITIES
from celeryscope_pipelines.watcher.alerts import Alert

registry = CollectorRegistry()

alerts = Gauge("celeryscope_watcher_alerts", "Alerts that fire, by severity.", ["severity"], registry=registry)
evaluation_seconds = Histogram(
    "celeryscope_watcher_evaluation_seconds",
    "Time of one evaluation of a rule.",
    ["rule"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
    registry=registry,
)
refusals = Counter(
    "celeryscope_watcher_refused_evaluations",
    "Evaluations that Elasticsearch refused: a setting is wrong, or an index does not exist yet.",
    ["rule"],
    registry=registry,
)
slow_evaluations = Counter(
    "celeryscope_watcher_slow_evaluations",
    "Evaluations that Elasticsearch was too slow or busy for, or lacked a shard for; alerts stayed as they were.",
    ["rule"],
    registry=registry,
)
notifications = Counter(
    "celeryscope_watcher_notifications",
    "Messages by target and result: delivered, failed (tried again later).",
    ["target", "result"],
    registry=registry,
)
undelivered = Gauge("celeryscope_watcher_undelivered", "Messages that no target has taken yet.", registry=registry)
active = Gauge("celeryscope_watcher_active", "1 while this watcher holds the lease.", registry=registry)
last_turn = Gauge(
    "celeryscope_watcher_last_turn_time_seconds", "When all due rules were evaluated last.", registry=registry
)


def tell(known: Iterable[Alert], waiting: int, now: datetime) -> None:
    """Set what a turn has left."""
    firing = Counting(alert.severity for alert in known if alert.fired_at is not None)
    for severity in SEVERITIES:
        alerts.labels(severity).set(firing[severity])
    undelivered.set(waiting)
    last_turn.set(now.timestamp())
