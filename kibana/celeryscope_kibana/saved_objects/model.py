"""A saved object as Kibana's import takes it, one JSON document a line.

The versions are the lowest of the range that is supported, 8.19 and 9.x: newer Kibanas migrate upwards, and refuse an
object whose version is newer than their own.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

Attributes = dict[str, Any]

CORE_VERSION: Final = "8.8.0"
VERSIONS: Final = {
    "dashboard": "10.2.0",
    "index-pattern": "8.0.0",
    "lens": "8.9.0",
    "links": "10.1.0",
    "search": "8.0.0",
    "tag": "8.0.0",
    "visualization": "8.5.0",
}
"""By type: ``typeMigrationVersion``."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An object's way to name another one: in its attributes it is known by ``name``."""

    name: str
    type: str
    id: str

    def under(self, prefix: str) -> "Reference":
        """The same as a dashboard has it for a panel of its own."""
        return Reference(f"{prefix}:{self.name}", self.type, self.id)

    def as_dict(self) -> dict[str, str]:
        """As it stands in the object."""
        return {"name": self.name, "type": self.type, "id": self.id}


@dataclass(frozen=True, slots=True)
class SavedObject:
    """One of Kibana's saved objects."""

    type: str
    id: str
    attributes: Attributes
    references: tuple[Reference, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the bundle."""
        return {
            "type": self.type,
            "id": self.id,
            "attributes": self.attributes,
            "references": [reference.as_dict() for reference in self.references],
            "coreMigrationVersion": CORE_VERSION,
            "typeMigrationVersion": VERSIONS[self.type],
            "managed": False,
        }


def text(content: Any) -> str:
    """JSON as the strings within saved objects hold it; the same content is always the same text."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def ndjson(objects: Iterable[SavedObject]) -> str:
    """The bundle of the objects: a line each, in their order."""
    return "".join(f"{text(saved.as_dict())}\n" for saved in objects)


def search_source(query: str = "", **more: Any) -> Attributes:
    """``kibanaSavedObjectMeta`` with a query in KQL and no filters."""
    source = {"query": {"query": query, "language": "kuery"}, "filter": [], **more}
    return {"searchSourceJSON": text(source)}
