"""The rows as they are drawn: names at the left, bars on the time axis, at the right the map of all rows.

A state is told by colour and by the shape at the bar's end; waiting is a thin grey bar, waiting for an eta a dotted
line, an attempt under way an open bar with a dashed edge, a step never reached a dashed box.
"""

from typing import Any, Final

from celeryscope_kibana.states import GREY, INK
from celeryscope_kibana.vega.source import Spec, areas, duration, mark
from celeryscope_kibana.vega.timeline.signals import TOP

_Y: Final = "(datum.row - 1 - first_row) * row_height"
_MIDDLE: Final = f"{_Y} + row_height / 2"
_BAR: Final = "min(16, row_height - 6)"
_TABLE_HEIGHT: Final = "min(rows_height, in_sight * row_height, length(data('rows')) * row_height)"
_BOX: Final = 46
"""Width of the box of a step that is not reached."""
_OPEN: Final = "!datum.final && datum.started"


def marks() -> list[Spec]:
    """All marks of the timeline, in groups that cut off what is beyond their edges."""
    return [_behind(), _axis(), _rows(), _map()]


def _axis() -> Spec:
    time = "datum.value"
    labels = {"update": {"text": {"signal": f"{time} === 0 ? '0' : ({duration(time)})"}, "fill": {"value": "#535966"}}}
    axis = {
        "scale": "time",
        "orient": "top",
        "tickCount": {"signal": "chosen ? max(2, floor(bars_width / 110)) : 0"},
        "grid": True,
        "gridColor": "#E6E9EE",
        "domain": False,
        "tickColor": "#C2C8D1",
        "tickSize": 4,
        "labelOverlap": True,
        "labelOpacity": {"signal": "chosen ? 1 : 0"},
        "tickOpacity": {"signal": "chosen ? 1 : 0"},
        "gridOpacity": {"signal": "chosen ? 1 : 0"},
        "encode": {"labels": labels},
        "zindex": 0,
    }
    place = {
        "x": {"signal": "names_width"},
        "y": {"value": TOP},
        "width": {"signal": "bars_width"},
        "height": {"signal": _TABLE_HEIGHT},
    }
    # The lines of a grid are as long as the signal of that name says.
    height = {"name": "height", "update": _TABLE_HEIGHT}
    return {"type": "group", "name": "axis_area", "encode": {"update": place}, "signals": [height], "axes": [axis]}


_PLACE: Final[Spec] = {
    "x": {"value": 0},
    "y": {"value": TOP},
    "width": {"signal": "width - map_width"},
    "height": {"signal": "in_sight * row_height"},
    "clip": {"value": True},
}


def _behind() -> Spec:
    """What lies behind the grid."""
    return {"type": "group", "name": "behind", "encode": {"update": _PLACE}, "marks": [_background()]}


def _rows() -> Spec:
    return {
        "type": "group",
        "name": "rows_area",
        "encode": {"update": _PLACE},
        "data": [
            {"name": "drawn", "source": "in_view", "transform": [{"type": "filter", "expr": "!datum.planned"}]},
            {"name": "not_reached", "source": "in_view", "transform": [{"type": "filter", "expr": "datum.planned"}]},
        ],
        "marks": [
            _names(),
            _critical_path(),
            _delayed(),
            _waiting(),
            _running(),
            _boxes(),
            _symbols(),
            _notes("note_halos", fill="'#FFFFFF'", stroke="'#FFFFFF'", strokeWidth=3),
            _notes("notes", fill=f"datum.exception ? '#8A3B00' : '{INK}'"),
            *areas(
                "row_area",
                "in_view",
                "hidden",
                width="(width - map_width)",
                y=_Y,
                height="row_height",
                tooltip="datum.tooltip",
                cursor="datum.planned ? 'default' : 'pointer'",
            ),
        ],
    }


def _at(seconds: str) -> str:
    return f"names_width + scale('time', {seconds})"


def _background() -> Spec:
    colour = "datum.picked ? '#FFF3CC' : datum.task === hovered ? '#EEF3FA' : datum.row % 2 ? '#F7F8FA' : '#FFFFFF'"
    return mark(
        "rect", "backgrounds", "in_view", x=0, y=_Y, width="width - map_width", height="row_height", fill=colour
    )


def _names() -> Spec:
    return mark(
        "text",
        "names",
        "in_view",
        x="6 + min(datum.depth, 8) * 14",
        y=_MIDDLE,
        baseline="'middle'",
        text="datum.title",
        limit="names_width - 16 - min(datum.depth, 8) * 14",
        fontSize="row_height < 18 ? 11 : 12",
        fontStyle="datum.planned ? 'italic' : 'normal'",
        fill=f"datum.planned ? '#535966' : '{INK}'",
    )


def _delayed() -> Spec:
    return mark(
        "rule",
        "delays",
        "drawn",
        x=_at("datum.start"),
        x2=_at("datum.ready"),
        y=_MIDDLE,
        stroke=f"'{GREY}'",
        strokeDash="[2, 3]",
        strokeWidth="datum.ready > datum.start ? 1.5 : 0",
    )


def _waiting() -> Spec:
    return mark(
        "rect",
        "waits",
        "drawn",
        x=_at("datum.ready"),
        x2=_at("datum.began"),
        y=f"{_MIDDLE} - 4",
        height=8,
        fill="'#CDD2DA'",
        stroke="'#AEB5C0'",
        strokeWidth="datum.began > datum.ready ? 0.5 : 0",
    )


def _running() -> Spec:
    return mark(
        "rect",
        "runs",
        "drawn",
        x=_at("datum.began"),
        width="datum.started ? max(3, scale('time', datum.finish) - scale('time', datum.began)) : 0",
        y=f"{_MIDDLE} - {_BAR} / 2",
        height=_BAR,
        cornerRadius=2,
        fill="datum.colour",
        fillOpacity=f"{_OPEN} ? 0.35 : 1",
        stroke="datum.colour",
        strokeWidth=f"{_OPEN} ? 1.5 : 0",
        strokeDash=f"{_OPEN} ? [4, 3] : [1, 0]",
    )


def _boxes() -> Spec:
    return mark(
        "rect",
        "boxes",
        "not_reached",
        x=f"min({_at('datum.start')} + 14, names_width + bars_width - {_BOX} - 8)",
        width=_BOX,
        y=f"{_MIDDLE} - {_BAR} / 2",
        height=_BAR,
        cornerRadius=2,
        fill="'#FFFFFF'",
        stroke="datum.colour",
        strokeWidth=1,
        strokeDash="[4, 3]",
    )


def _critical_path() -> Spec:
    return mark(
        "line",
        "critical_line",
        "critical_points",
        x=_at("datum.at"),
        y=f"{_Y} + row_height / 2 + {_BAR} / 2 + 1.5",
        stroke=f"'{INK}'",
        strokeWidth=2,
        strokeJoin="'round'",
        interpolate="'linear'",
    )


def _end() -> str:
    box = f"min({_at('datum.start')} + 14, names_width + bars_width - {_BOX} - 8) + {_BOX}"
    return f"(datum.planned ? {box} : {_at('datum.finish')})"


def _symbols() -> Spec:
    return mark(
        "symbol",
        "symbols",
        "in_view",
        x=f"datum.planned ? {_end()} - {_BOX} / 2 : {_end()} + 8",
        y=_MIDDLE,
        size="row_height < 18 ? 60 : 100",
        shape="datum.shape",
        fill="datum.colour",
        stroke="'#FFFFFF'",
        strokeWidth=1.2,
    )


_BEFORE: Final = f"({_end()} - names_width > bars_width * 0.72)"
"""Whether the note finds no room behind the bar."""


def _notes(name: str, **colours: Any) -> Spec:
    """Drawn twice: first as a halo, so that no line that crosses it makes it hard to read."""
    before = f"(datum.planned ? {_end()} - {_BOX} : {_at('datum.start')}) - 6"
    return mark(
        "text",
        name,
        "in_view",
        x=f"{_BEFORE} ? max({before}, names_width + 4) : {_end()} + (datum.planned ? 8 : 18)",
        y=_MIDDLE,
        baseline="'middle'",
        align=f"{_BEFORE} ? 'right' : 'left'",
        text=f"{_BEFORE} && {before} - names_width < length(datum.note) * 6.2 ? '' : datum.note",
        fontSize=11,
        fontStyle="datum.planned ? 'italic' : 'normal'",
        limit="bars_width * 0.5",
        **colours,
    )


def _map() -> Spec:
    """All rows, each as high as there is room, and which of them are in sight."""
    place = {
        "x": {"signal": "width - map_width + 2"},
        "y": {"value": TOP},
        "width": {"signal": "max(0, map_width - 4)"},
        "height": {"signal": "rows_height"},
    }
    line = mark(
        "rect",
        "map_rows",
        "rows",
        x=0,
        width="max(0, map_width - 4)",
        y="(datum.row - 1) * map_step",
        height="max(1, map_step)",
        fill="datum.colour",
        fillOpacity="datum.planned ? 0.35 : 0.9",
    )
    sight = {
        "x": {"value": -2},
        "width": {"signal": "map_width"},
        "y": {"signal": "first_row * map_step"},
        "height": {"signal": "in_sight * map_step"},
        "fill": {"value": "#FFFFFF"},
        "fillOpacity": {"value": 0.25},
        "stroke": {"value": INK},
        "opacity": {"signal": "hidden > 0 ? 1 : 0"},
        "strokeWidth": {"value": 1.5},
    }
    area = {
        "x": {"value": 0},
        "width": {"signal": "max(0, map_width - 4)"},
        "height": {"signal": "rows_height"},
        "fill": {"value": "#000000"},
        "fillOpacity": {"value": 0},
        "cursor": {"value": "pointer"},
    }
    return {
        "type": "group",
        "name": "map",
        "encode": {"update": place},
        "marks": [
            line,
            {"type": "rect", "name": "map_sight", "interactive": False, "encode": {"update": sight}},
            {"type": "rect", "name": "map_area", "encode": {"update": area}},
        ],
    }
