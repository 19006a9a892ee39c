"""What the specifications have in common: requests that follow the dashboard, and how expressions read documents."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from celeryscope import semconv

Spec = dict[str, Any]

SCHEMA: Final = "https://vega.github.io/schema/vega/v5.json"
FONT: Final = "Inter, 'Helvetica Neue', Arial, sans-serif"


def specification(title: str, data: list[Spec], signals: list[Spec], marks: list[Spec], **more: Any) -> Spec:
    """A specification that fills its panel, drawn on a canvas.

    All of it stands in one group that cuts off: Vega makes a view that fits smaller by what sticks out of it.
    """
    size = {"width": {"signal": "width"}, "height": {"signal": "height"}, "clip": {"value": True}}
    whole = {"type": "group", "name": "panel", "encode": {"update": size}, "marks": marks}
    return {
        "$schema": SCHEMA,
        "description": title,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": 6,
        "config": {
            "kibana": {"renderer": "canvas", "tooltips": {"position": "right", "padding": 12}, "hideWarnings": True},
            "text": {"font": FONT, "fontSize": 12},
            "axis": {"labelFont": FONT, "titleFont": FONT, "labelFontSize": 11},
        },
        "data": data,
        "signals": signals,
        "marks": [whole],
        **more,
    }


def in_context(*filters: Spec) -> Spec:
    """The dashboard's query and filters, and more filters."""
    return {
        "bool": {
            "must": ["%dashboard_context-must_clause%"],
            "filter": ["%dashboard_context-filter_clause%", *filters],
            "must_not": ["%dashboard_context-must_not_clause%"],
        }
    }


def in_time_range(field: str = "@timestamp") -> Spec:
    """The dashboard's time range."""
    return {"range": {field: {"%timefilter%": True}}}


def around_time_range(field: str = "@timestamp", days: int = 1) -> Spec:
    """The dashboard's time range with some days before and after it."""
    return {
        "range": {
            field: {
                "gte": {"%timefilter%": "min", "shift": -days, "unit": "day"},
                "lte": {"%timefilter%": "max", "shift": days, "unit": "day"},
            }
        }
    }


def search(name: str, index: str, body: Spec, found: str, transform: Sequence[Spec] = ()) -> Spec:
    """A data set that is what a ``_search`` finds below ``found``, e.g. ``hits.hits``.

    Where no index matches, as before the first task, Elasticsearch leaves the aggregations out and Vega would stop; so
    an index that `celeryscope setup` makes, and that has nothing of what is asked for, stands beside the pattern.
    """
    url = {"index": f"{index},{semconv.INDEX_WATCHER}" if "aggs" in body else index, "body": body}
    return {"name": name, "url": url, "format": {"property": found}, "transform": list(transform)}


def stored(field: str) -> str:
    """The expression of a field of a hit; undefined when the document lacks it."""
    return f"datum._source[{quoted(field)}]"


def quoted(text: str) -> str:
    """A text in an expression."""
    return json.dumps(text)


def listed(texts: Sequence[str]) -> str:
    """A list of texts in an expression."""
    return json.dumps(list(texts))


def formula(name: str, expression: str) -> Spec:
    """A transform that gives each datum one more value."""
    return {"type": "formula", "as": name, "expr": expression}


def keep(expression: str) -> Spec:
    """A transform that drops all others."""
    return {"type": "filter", "expr": expression}


def lookup(source: str, key: str, by: str, values: Sequence[str], names: Sequence[str] = ()) -> Spec:
    """A transform that adds values of the datum in ``source`` whose ``key`` is this one's ``by``; null without one."""
    return {
        "type": "lookup",
        "from": source,
        "key": key,
        "fields": [by],
        "values": list(values),
        "as": list(names or values),
        "default": None,
    }


def aggregate(by: Sequence[str], **results: tuple[str, str | None]) -> Spec:
    """A transform to one datum a group; each result is an operation and the field it is of."""
    return {
        "type": "aggregate",
        "groupby": list(by),
        "ops": [operation for operation, _ in results.values()],
        "fields": [field for _, field in results.values()],
        "as": list(results),
    }


def duration(expression: str) -> str:
    """The expression of seconds as people say them: ``3 ms``, ``1.25 s``, ``4.2 min``, ``3.5 h``."""
    value = f"({expression})"
    return (
        f"{value} < 0.9995 ? format({value} * 1000, '.3~r') + ' ms' : {value} < 120 ? format({value}, '.3~r') + ' s' : "
        f"{value} < 7200 ? format({value} / 60, '.3~r') + ' min' : format({value} / 3600, '.3~r') + ' h'"
    )


def mark(kind: str, name: str, data: str | None, **encoded: Any) -> Spec:
    """A mark of a data set; texts are expressions, all else is a value. It takes no part in pointing and clicking."""
    update = {key: {"signal": value} if isinstance(value, str) else {"value": value} for key, value in encoded.items()}
    source = {"from": {"data": data}} if data else {}
    return {"type": kind, "name": name, **source, "interactive": False, "encode": {"update": update}}


def scrolled_list(
    name: str, height: str, in_sight: str, data: Mapping[str, str], columns: Mapping[str, float], marks: Sequence[Spec]
) -> Spec:
    """The frame of a list that is scrolled by whole lines.

    ``data`` names the data sets within and those they are taken from, of which they keep what is ``in_sight``; the data
    set ``columns`` are the headings with their places. What leaves the frame is cut off.
    """
    place = {"width": {"signal": "width"}, "height": {"signal": height}, "clip": {"value": True}}
    return {
        "type": "group",
        "name": name,
        "encode": {"update": place},
        "data": [
            *({"name": own, "source": source, "transform": [keep(in_sight)]} for own, source in data.items()),
            {"name": "columns", "values": [{"title": title, "at": at} for title, at in columns.items()]},
        ],
        "marks": list(marks),
    }


def scrolling(prefix: str, area: str, data: str, *, top: int, line: int, lines: int) -> list[Spec]:
    """The signals of such a list: ``in_sight``, ``hidden`` and ``scrolled``, in lines, each behind the prefix.

    Its lines are so many pixels high, the first one below ``top``; the wheel moves so many ``lines`` over the ``area``.
    """
    in_sight, hidden, scrolled = (f"{prefix}{name}" for name in ("in_sight", "hidden", "scrolled"))
    return [
        {"name": in_sight, "update": f"max(1, floor((height - {top}) / {line}))"},
        {"name": hidden, "update": f"max(0, length(data('{data}')) - {in_sight})"},
        {"name": scrolled, "value": 0, "on": [scrolled_by(scrolled, area, hidden, lines)]},
    ]


def areas(name: str, data: str, hidden: str, *, width: str, **encoded: Any) -> list[Spec]:
    """What one points at and clicks, an area a line; see ``over``.

    There are two of each, of which one has a width: while nothing is ``hidden`` the wheel stays the page's.
    """
    found = []
    for own, wide in ((name, f"{hidden} > 0 ? 0 : {width}"), (f"scrolling_{name}", f"{hidden} > 0 ? {width} : 0")):
        area = mark("rect", own, data, x=0, width=wide, fill="'#000000'", fillOpacity=0, **encoded)
        found.append({**area, "interactive": True})
    return found


def over(name: str, event: str) -> str:
    """The selector of an event on the areas of that name."""
    return f"@{name}:{event}, @scrolling_{name}:{event}"


def hovering(signal: str, name: str, field: str) -> Spec:
    """The signal of the line below the pointer: that value of its datum, empty when there is none."""
    return {
        "name": signal,
        "value": "",
        "on": [
            {"events": over(name, "mouseover"), "update": f"datum.{field}"},
            {"events": over(name, "mouseout"), "update": "''"},
        ],
    }


def scrolled_by(signal: str, name: str, hidden: str, lines: int, *, also: str = "") -> Spec:
    """How the wheel changes the signal of how many lines are above those in sight; ``also`` is one more selector."""
    # Only while something is hidden the wheel is taken from the page.
    events = f"@scrolling_{name}:wheel!{also and ', ' + also}"
    moved = f"min({signal}, {hidden}) + (event.deltaY > 0 ? {lines} : -{lines})"
    return {"events": events, "update": f"clamp({moved}, 0, {hidden})"}
