"""Workflow timeline: choose a workflow, see its tasks in their order, and read what they said."""

from celeryscope_kibana import searches
from celeryscope_kibana.dashboards import controls
from celeryscope_kibana.saved_objects.dashboard import COLUMNS, Dashboard, Row, search_panel, vega_panel
from celeryscope_kibana.vega.timeline import timeline


def dashboard() -> Dashboard:
    """The dashboard; ``addresses.of_workflow`` leads here."""
    return Dashboard(
        "workflow",
        "Celery: workflow timeline",
        "Chains, groups and chords as a waterfall, with waits, retries, steps never reached, and the critical path.",
        (
            Row(26, ((COLUMNS, vega_panel("Workflow", timeline(), hide_title=True)),)),
            Row(
                18,
                (
                    (
                        COLUMNS,
                        search_panel(searches.LOG_LINES, "Log lines of the workflow, or of the task clicked above"),
                    ),
                ),
            ),
            Row(16, ((COLUMNS, search_panel(searches.FAILURES, "Tracebacks")),)),
            Row(16, ((COLUMNS, search_panel(searches.ATTEMPTS, "Attempts")),)),
        ),
        (controls.WORKFLOW, *controls.ALL),
    )
