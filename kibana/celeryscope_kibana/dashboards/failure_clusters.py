"""Failure clusters: what fails, since when, how often, who decided what, and its tracebacks below."""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana import addresses, searches
from celeryscope_kibana.dashboards import controls
from celeryscope_kibana.data_views import LOGS, NEW_FAILURES
from celeryscope_kibana.lens import columns
from celeryscope_kibana.lens.charts import chart, table
from celeryscope_kibana.saved_objects.dashboard import COLUMNS, Dashboard, Panel, Row, search_panel, vega_panel
from celeryscope_kibana.vega.clusters import cluster_table

TO_TRACEBACKS: Final = (addresses.TRACEBACKS, "Tracebacks of it")


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        "failure-clusters",
        "Celery: failure clusters",
        "Failures that are the same one, with counts, trend, first and last seen, release, owner, state.",
        (
            Row(
                20,
                (
                    (
                        COLUMNS,
                        vega_panel("Clusters of this period; a click shows one cluster's failures", cluster_table()),
                    ),
                ),
            ),
            Row(13, ((28, _spikes()), (20, _new()))),
            Row(14, ((COLUMNS, _all()),)),
            Row(18, ((COLUMNS, search_panel(searches.FAILURES, "Tracebacks of what is chosen above")),)),
        ),
        controls.ALL,
        time_from="now-7d",
    )


def _spikes() -> Panel:
    return chart(
        "Failures over time by cluster",
        LOGS,
        {
            "time": columns.over_time(),
            "cluster": columns.top("Cluster", semconv.FAILURE_TITLE, 8, "count"),
            "count": columns.count("Failures"),
        },
        series=("count",),
        split="cluster",
        kind="bar_stacked",
        query=searches.FAILURE,
        leads_to=TO_TRACEBACKS,
    )


def _new() -> Panel:
    """By the time a cluster was seen first of all, not first in this period."""
    return table(
        "New in this period",
        NEW_FAILURES,
        {
            "cluster": columns.top("Tracebacks", semconv.FINGERPRINT, 100, "first"),
            "title": columns.last_value("Title", semconv.FAILURE_TITLE, semconv.FIRST_SEEN),
            "first": columns.latest("First seen", semconv.FIRST_SEEN),
            "release": columns.last_value("First release", semconv.FAILURE_FIRST_RELEASE, semconv.FIRST_SEEN),
            "state": columns.last_value("State", semconv.FAILURE_STATE, semconv.FIRST_SEEN),
        },
        sort="first",
        query=f"not {semconv.FAILURE_MERGED_INTO}: *",
        widths={"cluster": 150},
        leads_to=TO_TRACEBACKS,
    )


def _all() -> Panel:
    return table(
        "All clusters of this period, to sort and to export",
        LOGS,
        {
            "cluster": columns.top("Tracebacks", semconv.FINGERPRINT, 500, "count"),
            "title": columns.last_value("Title", semconv.FAILURE_TITLE),
            "culprit": columns.last_value("Culprit", semconv.CULPRIT),
            "count": columns.count("Failures"),
            "first": columns.earliest("First in this period", "@timestamp"),
            "last": columns.latest("Last", "@timestamp"),
            "release": columns.last_value("Release", semconv.SERVICE_VERSION),
            "tasks": columns.distinct("Tasks", semconv.TASK_NAME),
            "task": columns.last_value("Task", semconv.TASK_NAME),
            "workers": columns.distinct("Workers", semconv.WORKER),
            "owner": columns.last_value("Owner", semconv.OWNER_TEAM),
        },
        sort="count",
        query=searches.FAILURE,
        widths={"cluster": 150, "title": 320, "culprit": 220, "count": 90, "tasks": 80, "workers": 90},
        leads_to=TO_TRACEBACKS,
    )
