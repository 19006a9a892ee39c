"""Overview: are tasks fine, how long do they take and wait, what fails, who works?"""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana import addresses
from celeryscope_kibana.dashboards import controls, pipeline_health
from celeryscope_kibana.data_views import LOGS, TASKS, WORKERS
from celeryscope_kibana.lens import columns
from celeryscope_kibana.lens.charts import chart, metric, table
from celeryscope_kibana.lens.columns import Columns
from celeryscope_kibana.saved_objects.dashboard import Dashboard, Panel, Row
from celeryscope_kibana.searches import FAILURE
from celeryscope_kibana.states import (
    BLUE,
    ENDED,
    FAILED,
    GREEN,
    GREY,
    LOOKS,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    UNDER_WAY,
    any_of,
)

ALIVE: Final = f'{semconv.STATE}: "ONLINE" and @timestamp >= "now-2m"'
"""KQL: workers that have not said goodbye and were heard of lately."""
TO_WORKFLOWS: Final = (addresses.WORKFLOW, "Workflows with it")
TO_CLUSTERS: Final = (addresses.CLUSTERS, "Failure clusters of it")


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        "overview",
        "Celery: overview",
        "Tasks by state, failure rate, run times and waits, failure clusters, workers.",
        (
            Row(6, tuple((8, panel) for panel in _figures())),
            Row(12, ((28, _states()), (20, _failure_rate()))),
            Row(
                12,
                ((24, _percentiles("Run time", semconv.RUNTIME)), (24, _percentiles("Queue wait", semconv.QUEUE_TIME))),
            ),
            Row(14, ((24, _busiest()), (24, _slowest()))),
            Row(14, ((28, _clusters()), (20, pipeline_health.lag()))),
        ),
        controls.ALL,
    )


def failure_share(name: str = "rate") -> Columns:
    """Of the attempts that ended for good, those that failed."""
    part = (f"count(kql='{FAILED}')", columns.count("Failed", FAILED))
    whole = (f"count(kql='{ENDED}')", columns.count("Ended", ENDED))
    return columns.share(name, "Failure rate", part, whole)


def _figures() -> tuple[Panel, ...]:
    seconds = columns.SECONDS
    run = {"p95": columns.percentile("Run time, 95 %", semconv.RUNTIME, 95, **seconds)}
    wait = {"p95": columns.percentile("Queue wait, 95 %", semconv.QUEUE_TIME, 95, **seconds)}
    alive = {"workers": columns.distinct("Workers alive now", semconv.WORKER)}
    going = {"count": columns.count("Under way", UNDER_WAY)}
    return (
        metric("Attempts", TASKS, {"count": columns.count("Attempts")}, "count", colour=BLUE),
        metric("Failure rate", TASKS, failure_share(), "rate", colour=RED),
        metric("Run time, 95 %", TASKS, run, "p95", colour=GREEN),
        metric("Queue wait, 95 %", TASKS, wait, "p95", colour=ORANGE),
        metric("Under way", TASKS, going, "count", colour=SKY),
        metric("Workers alive", WORKERS, alive, "workers", colour=PURPLE, query=ALIVE),
    )


_SERIES: Final = (
    ("succeeded", "Succeeded", any_of(frozenset({semconv.STATE_SUCCESS})), GREEN),
    ("retried", "Retried", any_of(frozenset({semconv.STATE_RETRY})), ORANGE),
    ("failed", "Failed", any_of(semconv.FAILED_STATES - {semconv.STATE_LOST}), RED),
    ("lost", "Lost", any_of(frozenset({semconv.STATE_LOST})), LOOKS[semconv.STATE_LOST].colour),
    ("revoked", "Revoked, ignored", any_of(frozenset({semconv.STATE_REVOKED, semconv.STATE_IGNORED})), GREY),
)


def _states() -> Panel:
    counted = {name: columns.count(label, f"{semconv.STATE}: {states}", per="m") for name, label, states, _ in _SERIES}
    counted["going"] = columns.count("Under way", UNDER_WAY, per="m")
    colours = {**{name: colour for name, _, _, colour in _SERIES}, "going": SKY}
    return chart(
        "Attempts per minute by state, by the time they were sent",
        TASKS,
        {"time": columns.over_time(), **counted},
        series=tuple(counted),
        kind="bar_stacked",
        colours=colours,
    )


def _failure_rate() -> Panel:
    return chart(
        "Failure rate",
        TASKS,
        {"time": columns.over_time(), **failure_share()},
        series=("rate",),
        colours={"rate": RED},
    )


def _percentiles(label: str, field: str) -> Panel:
    found = {
        f"p{percent}": columns.percentile(f"{percent} %", field, percent, **columns.SECONDS) for percent in (50, 95, 99)
    }
    return chart(
        f"{label}: 50 %, 95 % and 99 % of attempts are not above",
        TASKS,
        {"time": columns.over_time(), **found},
        series=tuple(found),
        colours={"p50": SKY, "p95": BLUE, "p99": PURPLE},
    )


def _busiest() -> Panel:
    seconds = columns.SECONDS
    return table(
        "Busiest tasks",
        TASKS,
        {
            "task": columns.top("Task", semconv.TASK_NAME, 50, "count"),
            "count": columns.count("Attempts"),
            **failure_share(),
            "retried": columns.count("Retried", f"{semconv.STATE}: {semconv.STATE_RETRY}"),
            "busy": columns.total("Run time, together", semconv.RUNTIME, **seconds),
            "wait": columns.percentile("Queue wait 95 %", semconv.QUEUE_TIME, 95, **seconds),
        },
        sort="count",
        leads_to=TO_WORKFLOWS,
    )


def _slowest() -> Panel:
    seconds = columns.SECONDS
    return table(
        "Slowest tasks",
        TASKS,
        {
            "task": columns.top("Task", semconv.TASK_NAME, 50, "p95"),
            "p50": columns.percentile("Run time 50 %", semconv.RUNTIME, 50, **seconds),
            "p95": columns.percentile("95 %", semconv.RUNTIME, 95, **seconds),
            "most": columns.maximum("Longest", semconv.RUNTIME, **seconds),
            "wait": columns.percentile("Queue wait 95 %", semconv.QUEUE_TIME, 95, **seconds),
            "count": columns.count("Attempts"),
        },
        sort="p95",
        leads_to=TO_WORKFLOWS,
    )


def _clusters() -> Panel:
    return table(
        "Top failure clusters",
        LOGS,
        {
            "cluster": columns.top("Tracebacks", semconv.FINGERPRINT, 10, "count"),
            "title": columns.last_value("Title", semconv.FAILURE_TITLE),
            "count": columns.count("Failures"),
            "last": columns.latest("Last seen", "@timestamp"),
            "owner": columns.last_value("Owner", semconv.OWNER_TEAM),
        },
        sort="count",
        query=FAILURE,
        widths={"cluster": 150, "count": 90},
        leads_to=TO_CLUSTERS,
    )
