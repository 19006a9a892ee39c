"""The bundle: all saved objects as one NDJSON text, for Kibana's import; ``celeryscope.ndjson`` is it, written down.

Kibana wants ids to be unique over all spaces. The bundle as shipped is for one space; ``for_space`` makes it fit for
another one beside it, with ids, references, and the addresses within it changed alike.
"""

from pathlib import Path
from typing import Final

from celeryscope.service.kibana_views import ID_PREFIX, identifier
from celeryscope_kibana import data_views, searches
from celeryscope_kibana.dashboards import (
    failure_clusters,
    overview,
    pipeline_health,
    tracebacks,
    workers,
    workflow,
)
from celeryscope_kibana.saved_objects.dashboard import Dashboard
from celeryscope_kibana.saved_objects.links import links
from celeryscope_kibana.saved_objects.model import SavedObject, ndjson
from celeryscope_kibana.saved_objects.tag import tag

SHIPPED: Final = Path(__file__).with_name("celeryscope.ndjson")
"""The bundle in the package."""


def dashboards() -> dict[str, Dashboard]:
    """The dashboards by what links to them say, in their order."""
    return {
        "Overview": overview.dashboard(),
        "Failure clusters": failure_clusters.dashboard(),
        "Tracebacks": tracebacks.dashboard(),
        "Workflow timeline": workflow.dashboard(),
        "Workers and queues": workers.dashboard(),
        "Pipeline health": pipeline_health.dashboard(),
    }


def saved_objects() -> list[SavedObject]:
    """All objects, each after those that it refers to (dashboards and their links refer to each other)."""
    views = dashboards()
    return [
        tag(),
        *(view.saved_object() for view in data_views.ALL),
        *(search.saved_object() for search in searches.ALL),
        links((view.id, label) for label, view in views.items()),
        *(view.saved_object() for view in views.values()),
    ]


def bundle() -> str:
    """The bundle as it is shipped."""
    return ndjson(saved_objects())


def for_space(text: str, space: str) -> str:
    """The bundle with ids of its own for a space; for the default space it stays as it is."""
    return text.replace(ID_PREFIX, identifier("", space))
