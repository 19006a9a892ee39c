"""Tracebacks: the saved searches side by side, with the dashboard's filters on all of them."""

from celeryscope import semconv
from celeryscope_kibana import searches
from celeryscope_kibana.dashboards import controls
from celeryscope_kibana.data_views import LOGS
from celeryscope_kibana.lens import columns
from celeryscope_kibana.lens.charts import chart
from celeryscope_kibana.saved_objects.dashboard import COLUMNS, Dashboard, Panel, Row, search_panel
from celeryscope_kibana.states import ORANGE, PURPLE, RED


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        "tracebacks",
        "Celery: tracebacks",
        "Failures, retries, lost processes and stuck tasks with their stacks; search for functions, files, messages.",
        (
            Row(9, ((COLUMNS, _over_time()),)),
            Row(20, ((COLUMNS, search_panel(searches.FAILURES, "Failures")),)),
            Row(
                16,
                (
                    (24, search_panel(searches.RETRIES, "Retries")),
                    (24, search_panel(searches.WORKER_LOST, "Lost, ended")),
                ),
            ),
            Row(14, ((COLUMNS, search_panel(searches.STACKS, "Stacks of tasks that run too long")),)),
        ),
        controls.ALL,
    )


def _over_time() -> Panel:
    counted = {
        "failures": columns.count("Failures", searches.FAILURE),
        "retries": columns.count("Retries", f'event_name: "{semconv.EVENT_TASK_RETRIED}"'),
        "stacks": columns.count("Stuck", f'event_name: "{semconv.EVENT_TASK_STACK}"'),
    }
    return chart(
        "Failures, retries and stuck tasks",
        LOGS,
        {"time": columns.over_time(), **counted},
        series=tuple(counted),
        kind="bar_stacked",
        colours={"failures": RED, "retries": ORANGE, "stacks": PURPLE},
    )
