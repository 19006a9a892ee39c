"""Data views, Kibana's ``index-pattern``: which indices, what their fields are called, and how values are shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from celeryscope.service.kibana_views import identifier
from celeryscope_kibana.saved_objects.model import Reference, SavedObject, text

TYPE: Final = "index-pattern"

Format = dict[str, Any]
"""One of Kibana's field formats."""


@dataclass(frozen=True, slots=True)
class DataView:
    """A data view; without ``time_field`` the dashboard's time range does not narrow it."""

    key: str
    index: str
    name: str
    time_field: str | None = "@timestamp"
    labels: Mapping[str, str] = field(default_factory=dict)
    """What fields are called in tables."""
    formats: Mapping[str, Format] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The saved object's id."""
        return identifier(self.key)

    def reference(self, name: str) -> Reference:
        """A reference to this data view."""
        return Reference(name, TYPE, self.id)

    def saved_object(self) -> SavedObject:
        """The data view as it is imported."""
        attributes = {
            "title": self.index,
            "name": self.name,
            "fieldAttrs": text({name: {"customLabel": label} for name, label in self.labels.items()}),
            "fieldFormatMap": text(dict(self.formats)),
            "runtimeFieldMap": "{}",
            "sourceFilters": "[]",
            "fields": "[]",
            "typeMeta": "{}",
        }
        if self.time_field is not None:
            attributes["timeFieldName"] = self.time_field
        return SavedObject(TYPE, self.id, attributes)


SECONDS: Final[Format] = {
    "id": "duration",
    "params": {
        "inputFormat": "seconds",
        "outputFormat": "humanizePrecise",
        "outputPrecision": 1,
        "useShortSuffix": True,
        "includeSpaceWithSuffix": True,
    },
}
BYTES: Final[Format] = {"id": "bytes", "params": {"pattern": "0.0 b"}}
WEB_PAGE: Final[Format] = {"id": "url", "params": {"type": "a", "labelTemplate": "{{value}}"}}
"""A field that holds the address of a page."""


def link(address: str) -> Format:
    """The value as a link within Kibana, in this tab; ``{{value}}`` in the address stands for it.

    Free in every licence, unlike a URL drilldown. ``../app/...`` finds Kibana's base path and the space.
    """
    params = {"type": "a", "urlTemplate": address, "labelTemplate": "{{value}}", "openLinkInCurrentTab": True}
    return {"id": "url", "params": params}


def badges(colours: Mapping[str, str]) -> Format:
    """Dark text on the colour of the first pattern that fits the value."""
    return {
        "id": "color",
        "params": {
            "fieldType": "string",
            "colors": [
                {"range": "-Infinity:Infinity", "regex": pattern, "text": "#1a1c21", "background": colour}
                for pattern, colour in colours.items()
            ],
        },
    }
