"""Lens charts as panels of a dashboard: one figure, a table, lines or areas over time."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from celeryscope_kibana.lens.columns import Column, Columns, over_time, top
from celeryscope_kibana.saved_objects.dashboard import Panel
from celeryscope_kibana.saved_objects.data_view import DataView

_LAYER: Final = "layer"
_REFERENCE: Final = f"indexpattern-datasource-layer-{_LAYER}"


def metric(title: str, view: DataView, columns: Columns, shown: str, *, colour: str, query: str = "") -> Panel:
    """One figure: the column ``shown``."""
    visualization = {
        "layerId": _LAYER,
        "layerType": "data",
        "metricAccessor": shown,
        "color": colour,
    }
    return _panel(title, view, columns, query, "lnsMetric", visualization, hide_title=True)


def table(
    title: str,
    view: DataView,
    columns: Columns,
    *,
    sort: str,
    query: str = "",
    widths: Mapping[str, int] | None = None,
    leads_to: tuple[str, str] | None = None,
) -> Panel:
    """The columns as a table, sorted by one of them, the largest first; ``leads_to`` as of a panel."""
    wide = widths or {}
    visualization = {
        "layerId": _LAYER,
        "layerType": "data",
        "columns": [
            {"columnId": name, "isTransposed": False, **({"width": wide[name]} if name in wide else {})}
            for name in columns
            if not _is_part(name, columns)
        ],
        "sorting": {"columnId": sort, "direction": "desc"},
        "rowHeight": "single",
        "rowHeightLines": 1,
        "headerRowHeight": "auto",
        "paging": {"size": 10, "enabled": True},
    }
    return _panel(title, view, columns, query, "lnsDatatable", visualization, leads_to=leads_to)


def chart(
    title: str,
    view: DataView,
    columns: Columns,
    *,
    series: Sequence[str],
    kind: str = "line",
    split: str | None = None,
    query: str = "",
    colours: Mapping[str, str] | None = None,
    leads_to: tuple[str, str] | None = None,
) -> Panel:
    """Lines, areas or bars over the column ``time``: one for each of the ``series``, or of the values of ``split``."""
    layer: dict[str, Any] = {
        "layerId": _LAYER,
        "layerType": "data",
        "seriesType": kind,
        "position": "top",
        "showGridlines": False,
        "xAccessor": "time",
        "accessors": list(series),
        "yConfig": [{"forAccessor": name, "color": colour} for name, colour in (colours or {}).items()],
    }
    if split:
        layer["splitAccessor"] = split
    visualization = {
        "title": "Empty XY chart",
        "preferredSeriesType": kind,
        "legend": {"isVisible": True, "position": "right", "shouldTruncate": True, "maxLines": 1},
        "valueLabels": "hide",
        "fittingFunction": "Linear" if kind == "line" else "None",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "layers": [layer],
    }
    return _panel(title, view, columns, query, "lnsXY", visualization, leads_to=leads_to)


def _is_part(name: str, columns: Columns) -> bool:
    """Whether the column is only a part of a formula."""
    return any(name in column.get("references", ()) for column in columns.values())


def by_top(
    title: str, view: DataView, part: tuple[str, str], value: Column, *, kind: str = "line", query: str = ""
) -> Panel:
    """A column over time for each of the twelve of a part (its label and field) that have the most of it."""
    grouped = {"time": over_time(), "part": top(*part, 12, "value"), "value": value}
    return chart(title, view, grouped, series=("value",), split="part", kind=kind, query=query)


def _panel(
    title: str,
    view: DataView,
    columns: Columns,
    query: str,
    chart_type: str,
    visualization: dict[str, Any],
    *,
    leads_to: tuple[str, str] | None = None,
    hide_title: bool = False,
) -> Panel:
    layer = {
        "columns": columns,
        "columnOrder": list(columns),
        "incompleteColumns": {},
        "ignoreGlobalFilters": False,
        "sampling": 1,
    }
    reference = view.reference(_REFERENCE)
    attributes = {
        "title": title,
        "type": "lens",
        "visualizationType": chart_type,
        "references": [reference.as_dict()],
        "state": {
            "datasourceStates": {"formBased": {"layers": {_LAYER: layer}}},
            "visualization": visualization,
            "query": {"query": query, "language": "kuery"},
            "filters": [],
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }
    return Panel("lens", title, {"attributes": attributes}, (reference,), leads_to=leads_to, hide_title=hide_title)
