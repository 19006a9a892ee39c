"""The row of links that stands at the top of each dashboard; a link carries filters, query and time range along."""

from collections.abc import Iterable
from typing import Final

from celeryscope.service.kibana_views import identifier
from celeryscope_kibana.saved_objects.model import Reference, SavedObject

LINKS_ID: Final = identifier("links")


def links(dashboards: Iterable[tuple[str, str]]) -> SavedObject:
    """Links to dashboards, given as id and label in their order."""
    entries, references = [], []
    for order, (dashboard, label) in enumerate(dashboards):
        name = f"link_{dashboard}_dashboard"
        entries.append(
            {"type": "dashboardLink", "id": dashboard, "label": label, "order": order, "destinationRefName": name}
        )
        references.append(Reference(name, "dashboard", dashboard))
    attributes = {
        "title": "Celeryscope",
        "description": "The way between the views of celeryscope",
        "layout": "horizontal",
        "links": entries,
    }
    return SavedObject("links", LINKS_ID, attributes, tuple(references))
