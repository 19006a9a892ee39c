"""Dashboards: panels in rows, controls at the top. The grid is 48 columns wide."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from celeryscope.service.kibana_views import identifier
from celeryscope_kibana.saved_objects.data_view import DataView
from celeryscope_kibana.saved_objects.discover import Search
from celeryscope_kibana.saved_objects.links import LINKS_ID
from celeryscope_kibana.saved_objects.model import Reference, SavedObject, search_source, text
from celeryscope_kibana.saved_objects.tag import tagged

TYPE: Final = "dashboard"
COLUMNS: Final = 48
_NAMES: Final = uuid.UUID("6c1f6a0b-54b5-4b3e-9f6c-3f3f5d9a7a01")
_LINKS_HEIGHT: Final = 4


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel without its place; ``references`` are those of what it holds, without the panel's prefix."""

    type: str
    title: str
    config: dict[str, Any]
    references: tuple[Reference, ...] = ()
    by_reference: Reference | None = None
    """The library object that the panel shows, in place of a content of its own."""
    leads_to: tuple[str, str] | None = None
    """Id of the dashboard that a click on a value opens, filtered by it, and what the menu calls that."""
    hide_title: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels beside each other, each with its width in columns."""

    height: int
    panels: tuple[tuple[int, Panel], ...]


@dataclass(frozen=True, slots=True)
class Control:
    """A list of a field's values to choose from."""

    field: str
    title: str
    view: DataView
    single: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard of ours; its first row are the links to the others."""

    key: str
    title: str
    description: str
    rows: tuple[Row, ...]
    controls: tuple[Control, ...] = ()
    time_from: str = "now-24h"

    @property
    def id(self) -> str:
        """The saved object's id."""
        return identifier(self.key)

    def saved_object(self) -> SavedObject:
        """The dashboard as it is imported."""
        panels: list[dict[str, Any]] = []
        references: list[Reference] = []
        y = 0
        for row in (Row(_LINKS_HEIGHT, ((COLUMNS, _links_panel()),)), *self.rows):
            x = 0
            for width, panel in row.panels:
                index = _panel_index(self.key, len(panels), panel)
                grid = {"x": x, "y": y, "w": width, "h": row.height, "i": index}
                panels.append(_panel(panel, index, grid))
                references += _panel_references(panel, index)
                x += width
            y += row.height
        controls, control_references = _controls(self.key, self.controls)
        attributes = {
            "title": self.title,
            "description": self.description,
            "panelsJSON": text(panels),
            "optionsJSON": text(_OPTIONS),
            "timeRestore": True,
            "timeFrom": self.time_from,
            "timeTo": "now",
            "refreshInterval": {"pause": True, "value": 60_000},
            "version": 1,
            "kibanaSavedObjectMeta": search_source(),
            "controlGroupInput": controls,
        }
        return SavedObject(TYPE, self.id, attributes, (*references, *control_references, tagged()))


_OPTIONS: Final = {
    "useMargins": True,
    "syncColors": False,
    "syncCursor": True,
    "syncTooltips": False,
    "hidePanelTitles": False,
}


def search_panel(search: Search, title: str | None = None) -> Panel:
    """A saved search as a table on a dashboard."""
    return Panel("search", title or search.title, {}, by_reference=Reference("", "search", search.id))


def vega_panel(title: str, spec: dict[str, Any], *, hide_title: bool = False) -> Panel:
    """A Vega specification; it needs no reference, for it names its indices itself."""
    saved = {
        "id": "",
        "title": title,
        "description": "",
        "type": "vega",
        "params": {"spec": text(spec)},
        "uiState": {},
        "data": {"aggs": [], "searchSource": {"query": {"query": "", "language": "kuery"}, "filter": []}},
    }
    return Panel("visualization", title, {"savedVis": saved}, hide_title=hide_title)


def _links_panel() -> Panel:
    return Panel("links", "", {}, by_reference=Reference("", "links", LINKS_ID), hide_title=True)


def _panel_index(key: str, number: int, panel: Panel) -> str:
    return str(uuid.uuid5(_NAMES, f"{key}/{number}/{panel.title}"))


def _panel(panel: Panel, index: str, grid: dict[str, Any]) -> dict[str, Any]:
    enhancements = {"dynamicActions": {"events": [_drilldown(panel, index)]}} if panel.leads_to else {}
    content: dict[str, Any] = {
        "type": panel.type,
        "panelIndex": index,
        "gridData": grid,
        "embeddableConfig": {**panel.config, "enhancements": enhancements, "hidePanelTitles": panel.hide_title},
    }
    if panel.title:
        content["title"] = panel.title
    if panel.by_reference:
        content["panelRefName"] = f"panel_{index}"
    return content


def _panel_references(panel: Panel, index: str) -> list[Reference]:
    found = [reference.under(index) for reference in panel.references]
    if panel.by_reference:
        found.append(Reference(f"{index}:panel_{index}", panel.by_reference.type, panel.by_reference.id))
    if panel.leads_to:
        event = _event_id(panel, index)
        name = f"{index}:drilldown:{_DRILLDOWN}:{event}:dashboardId"
        found.append(Reference(name, TYPE, panel.leads_to[0]))
    return found


_DRILLDOWN: Final = "DASHBOARD_TO_DASHBOARD_DRILLDOWN"


def _event_id(panel: Panel, index: str) -> str:
    return str(uuid.uuid5(_NAMES, f"{index}/{panel.leads_to}"))


def _drilldown(panel: Panel, index: str) -> dict[str, Any]:
    """A click on a value opens another dashboard with that value as a filter; free in every licence."""
    _, label = panel.leads_to or ("", "")
    config = {"useCurrentFilters": True, "useCurrentDateRange": True, "openInNewTab": False}
    return {
        "eventId": _event_id(panel, index),
        "triggers": ["FILTER_TRIGGER"],
        "action": {"factoryId": _DRILLDOWN, "name": label, "config": config},
    }


def _controls(key: str, controls: Sequence[Control]) -> tuple[dict[str, Any], list[Reference]]:
    panels, references = {}, []
    for order, control in enumerate(controls):
        index = str(uuid.uuid5(_NAMES, f"{key}/control/{control.field}"))
        panels[index] = {
            "type": "optionsListControl",
            "order": order,
            "grow": True,
            "width": "medium",
            "explicitInput": {
                "id": index,
                "dataViewId": control.view.id,
                "fieldName": control.field,
                "title": control.title,
                "searchTechnique": "wildcard",
                "selectedOptions": [],
                "singleSelect": control.single,
                "sort": {"by": "_count", "direction": "desc"},
            },
        }
        references.append(control.view.reference(f"controlGroup_{index}:optionsListDataView"))
    ignore = dict.fromkeys(("ignoreFilters", "ignoreQuery", "ignoreTimerange", "ignoreValidations"), False)
    group = {
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "showApplySelections": False,
        "ignoreParentSettingsJSON": text(ignore),
        "panelsJSON": text(panels),
    }
    return group, references
