"""The table of failure clusters, with what neither Discover nor Lens can put into one: counts, trend and decisions.

Counts come from the failures themselves, in the dashboard's context; who decided what, and when a cluster was first
seen at all, from ``celery-failures``. Failures of a cluster that was merged into another count for that one.
"""

from celeryscope_kibana.vega.clusters import drawing, finding
from celeryscope_kibana.vega.source import Spec, specification


def cluster_table() -> Spec:
    """The specification."""
    return specification("Failure clusters", finding.data(), drawing.signals(), drawing.marks())
