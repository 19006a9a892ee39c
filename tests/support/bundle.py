"""Reads a bundle of saved objects as Kibana would: strings parsed, panels with what they hold."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support.kql import fields_of

Object = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """A panel of a dashboard."""

    dashboard: str
    title: str
    content: Object

    @property
    def lens(self) -> Object | None:
        """The attributes of a Lens chart."""
        found: Object | None = self.content["embeddableConfig"].get("attributes")
        return found

    @property
    def vega(self) -> Object | None:
        """The specification of a Vega view."""
        saved = self.content["embeddableConfig"].get("savedVis")
        found: Object | None = json.loads(saved["params"]["spec"]) if saved else None
        return found


class Bundle:
    """All objects of an NDJSON text."""

    def __init__(self, text: str) -> None:
        self.objects: list[Object] = [json.loads(line) for line in text.splitlines()]

    def of(self, kind: str) -> list[Object]:
        return [saved for saved in self.objects if saved["type"] == kind]

    def index_of(self, view_id: str) -> str:
        """The indices of a data view."""
        (found,) = [saved["attributes"]["title"] for saved in self.of("index-pattern") if saved["id"] == view_id]
        return str(found)

    def panels(self) -> Iterator[Panel]:
        for dashboard in self.of("dashboard"):
            for content in json.loads(dashboard["attributes"]["panelsJSON"]):
                yield Panel(dashboard["id"], content.get("title", ""), content)

    def named_fields(self) -> Iterator[tuple[str, str, str]]:
        """Each field that anything names: where, the indices, the field."""
        for saved in self.of("search"):
            index = self.index_of(saved["references"][0]["id"])
            yield from ((saved["id"], index, name) for name in _of_search(saved["attributes"]))
        for panel in self.panels():
            if panel.lens:
                index = self.index_of(panel.lens["references"][0]["id"])
                yield from ((panel.title, index, name) for name in _of_lens(panel.lens))
            if panel.vega:
                for data in panel.vega["data"]:
                    if url := data.get("url"):
                        # The first one is what it is about, the other one is there so that one is.
                        index, _, _ = url["index"].partition(",")
                        yield from ((panel.title, index, name) for name in set(_of_request(url["body"])))
        for dashboard in self.of("dashboard"):
            for control in json.loads(dashboard["attributes"]["controlGroupInput"]["panelsJSON"]).values():
                asked = control["explicitInput"]
                yield dashboard["id"], self.index_of(asked["dataViewId"]), asked["fieldName"]


def _of_search(attributes: Object) -> Iterator[str]:
    yield from attributes["columns"]
    yield from (field for field, _ in attributes["sort"])
    yield from fields_of(json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"])


def _of_lens(attributes: Object) -> Iterator[str]:
    yield from fields_of(attributes["state"]["query"]["query"])
    for layer in attributes["state"]["datasourceStates"]["formBased"]["layers"].values():
        for column in layer["columns"].values():
            if column.get("sourceField", "___records___") != "___records___":
                yield column["sourceField"]
            yield from fields_of(column.get("filter", {}).get("query", ""))
            if "sortField" in column.get("params", {}):
                yield column["params"]["sortField"]


def _of_request(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _of_request(item)
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from _named_by(key, value)
            yield from _of_request(value) if key != "sort" else ()


def _named_by(key: str, value: Any) -> Iterator[str]:
    if key == "field":
        yield value
    elif key == "_source":
        yield from value
    elif key == "sort":
        yield from (field for by in value for field in by)
    elif key in {"term", "range"} or (key == "terms" and "field" not in value):
        yield from value
