"""Addresses within Kibana: a dashboard or Discover that shows one cluster, one workflow, one task.

They are relative, so that Kibana's base path and the space stay; values stand for themselves as ``{{value}}``, and need
no escapes: they are ids.
"""

from typing import Final

from celeryscope import semconv
from celeryscope.service.kibana_views import dashboard, discover, identifier

CLUSTERS: Final = identifier("failure-clusters")
TRACEBACKS: Final = identifier("tracebacks")
WORKFLOW: Final = identifier("workflow")
FAILURES_SEARCH: Final = identifier("search-failures")
LOG_SEARCH: Final = identifier("search-log-lines")

_LONG_AGO: Final = "now-30d"
"""Whoever follows a link asks for one thing, whenever it was."""


def of_cluster() -> str:
    """The tracebacks of a failure cluster, by its fingerprint."""
    return f"../{discover(FAILURES_SEARCH, _LONG_AGO, _query(semconv.FINGERPRINT))}"


def of_workflow() -> str:
    """The timeline of a workflow, by its root id."""
    return f"../{dashboard(WORKFLOW, _LONG_AGO, _query(semconv.ROOT_ID))}"


def of_task() -> str:
    """The log lines of a task, by its id."""
    return f"../{discover(LOG_SEARCH, _LONG_AGO, _query(semconv.TASK_ID))}"


def of_trace() -> str:
    """The trace in Kibana's APM, by its id."""
    return f"../app/apm/link-to/trace/{{{{value}}}}?rangeFrom={_LONG_AGO}&rangeTo=now"


def _query(field: str) -> str:
    return f"{field}:%22{{{{value}}}}%22"
