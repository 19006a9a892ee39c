"""Saved searches, which Discover opens and dashboards embed."""

from dataclasses import dataclass
from typing import Final

from celeryscope.service.kibana_views import identifier
from celeryscope_kibana.saved_objects.data_view import DataView
from celeryscope_kibana.saved_objects.model import SavedObject, search_source

TYPE: Final = "search"
_INDEX: Final = "kibanaSavedObjectMeta.searchSourceJSON.index"


@dataclass(frozen=True, slots=True)
class Search:
    """A table of documents: which, with what columns, in which order."""

    key: str
    title: str
    description: str
    view: DataView
    query: str
    columns: tuple[str, ...]
    sort: tuple[str, str] = ("@timestamp", "desc")
    hide_chart: bool = False

    @property
    def id(self) -> str:
        """The saved object's id."""
        return identifier(self.key)

    def saved_object(self) -> SavedObject:
        """The search as it is imported."""
        attributes = {
            "title": self.title,
            "description": self.description,
            "columns": list(self.columns),
            "sort": [list(self.sort)],
            "grid": {},
            "hideChart": self.hide_chart,
            "isTextBasedQuery": False,
            "timeRestore": False,
            "kibanaSavedObjectMeta": search_source(self.query, indexRefName=_INDEX),
        }
        return SavedObject(TYPE, self.id, attributes, (self.view.reference(_INDEX),))
