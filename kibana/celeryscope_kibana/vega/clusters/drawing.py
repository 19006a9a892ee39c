"""The table: a line a cluster, with a trend of bars and its state as a word on a badge."""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana.states import GREY, INK, RED
from celeryscope_kibana.vega.clusters.finding import LOGS
from celeryscope_kibana.vega.source import Spec, areas, hovering, mark, over, quoted, scrolled_list, scrolling

_TOP: Final = 30
_LINE: Final = 40
"""Pixels of a line: title above, culprit below."""
_BADGES: Final = {
    semconv.CLUSTER_OPEN: "#F6C6A6",
    semconv.CLUSTER_REGRESSED: "#EBCBDD",
    semconv.CLUSTER_IGNORED: "#E3E6EA",
    semconv.CLUSTER_RESOLVED: "#B5E5D6",
}
_COLUMNS: Final = {
    "Failure": 0.0,
    "Count": 0.41,
    "Trend": 0.465,
    "First seen": 0.605,
    "Last seen": 0.69,
    "Release": 0.775,
    "Owner": 0.85,
    "State": 0.92,
}
"""Where each column begins, as a part of the width."""

_Y: Final = f"{_TOP} + (datum.line - 1 - scrolled) * {_LINE}"
_MIDDLE: Final = f"{_Y} + {_LINE // 2}"
_TREND: Final = f"({_COLUMNS['Trend']} * width + 6)"
_TREND_WIDTH: Final = f"({_COLUMNS['First seen'] - _COLUMNS['Trend']} * width - 26)"
_TOOLTIP: Final = (
    "{'Failure': datum.title, 'Culprit': datum.culprit, "
    "'Task': datum.task + (datum.tasks > 1 ? ' and ' + (datum.tasks - 1) + ' more' : ''), "
    "'Failures in this period': datum.count, "
    "'First seen': timeFormat(datum.first_seen, '%Y-%m-%d %H:%M:%S') + "
    "(datum.first_release ? ' with ' + datum.first_release : ''), "
    "'Last seen': timeFormat(datum.last, '%Y-%m-%d %H:%M:%S'), "
    "'State': datum.state, 'Owner': datum.owner || '-', 'Severity': datum.severity || '-', "
    "'Clusters merged here': datum.parts - 1, 'Fingerprint': datum.cluster}"
)


def signals() -> list[Spec]:
    """Which lines are in sight, and the click that filters."""
    return [
        *scrolling("", "cluster_area", "clusters", top=_TOP, line=_LINE, lines=1),
        hovering("hovered", "cluster_area", "cluster"),
        {
            "name": "clicked",
            "value": None,
            "on": [
                {
                    "events": over("cluster_area", "click"),
                    "update": (
                        f"[kibanaAddFilter({{terms: {{{quoted(semconv.FINGERPRINT)}: datum.members}}}}, "
                        f"{quoted(LOGS)}, 'Cluster: ' + datum.title), datum.cluster]"
                    ),
                }
            ],
        },
    ]


def marks() -> list[Spec]:
    """Headings and lines."""
    in_sight = "datum.line > scrolled && datum.line <= scrolled + in_sight"
    data = {"lines": "clusters", "steps": "trends"}
    return [scrolled_list("table", "height", in_sight, data, _COLUMNS, [*_heading(), *_lines()])]


def _heading() -> list[Spec]:
    nothing = "length(data('clusters')) ? '' : 'No failures in this time range'"
    return [
        mark("text", "nothing", None, x=6, y=_TOP + 20, text=nothing, fontSize=14, fill=f"'{GREY}'"),
        mark(
            "text",
            "headings",
            "columns",
            x="datum.at * width + 8",
            y=14,
            text="length(data('clusters')) ? datum.title : ''",
            baseline="'middle'",
            fontWeight="'bold'",
            fill="'#535966'",
        ),
    ]


def _lines() -> list[Spec]:
    background = "datum.cluster === hovered ? '#EEF3FA' : datum.line % 2 ? '#F7F8FA' : '#FFFFFF'"
    title = {"y": f"{_Y} + 13", "fontWeight": "'bold'"}
    below = {"y": f"{_Y} + 29", "fill": "'#535966'", "fontSize": 11}
    where = (
        "(datum.culprit || '(no frame of the application)') + '   \u2022   ' + datum.task"
        " + (datum.tasks > 1 ? ' and ' + (datum.tasks - 1) + ' more' : '')"
    )
    return [
        mark("rect", "backgrounds", "lines", x=0, y=_Y, width="width", height=_LINE, fill=background),
        _cell("titles", "Failure", "datum.title || datum.cluster", **title),
        _cell("places", "Failure", where, **below),
        _cell("counts", "Count", "format(datum.count, ',')", fontWeight="'bold'"),
        *_trend(),
        _cell("first_seen", "First seen", _moment("datum.first_seen")),
        _cell("last_seen", "Last seen", _moment("datum.last")),
        _cell("releases", "Release", "datum.release || '-'"),
        _cell("owners", "Owner", "datum.owner || '-'"),
        *_states(),
        *areas(
            "cluster_area",
            "lines",
            "hidden",
            width="width",
            y=_Y,
            height=_LINE,
            tooltip=_TOOLTIP,
            cursor="'pointer'",
        ),
    ]


def _moment(milliseconds: str) -> str:
    return f"timeFormat({milliseconds}, '%b %d %H:%M')"


def _trend() -> list[Spec]:
    step = f"max(1, {_TREND_WIDTH} / datum.steps - 1)"
    tall = f"(datum.most ? datum.failures / datum.most : 0) * ({_LINE} - 14)"
    foot = f"{_Y} + {_LINE} - 7"
    return [
        mark(
            "rect",
            "trend_bars",
            "steps",
            x=f"{_TREND} + datum.place * ({_TREND_WIDTH} - {step})",
            width=step,
            y=f"{foot} - {tall}",
            y2=foot,
            fill=f"'{RED}'",
        ),
        mark(
            "rule",
            "trend_feet",
            "lines",
            x=_TREND,
            x2=f"{_TREND} + {_TREND_WIDTH}",
            y=foot,
            stroke="'#C2C8D1'",
        ),
    ]


def _states() -> list[Spec]:
    colour = " : ".join(f"datum.state === {quoted(state)} ? '{shade}'" for state, shade in _BADGES.items())
    left = f"{_COLUMNS['State']} * width + 4"
    return [
        mark(
            "rect",
            "badges",
            "lines",
            x=left,
            width="min(78, width * 0.075)",
            y=f"{_Y} + 5",
            height=16,
            cornerRadius=3,
            fill=f"{colour} : '#E3E6EA'",
        ),
        _cell("states", "State", "datum.state", y=f"{_Y} + 13", fontSize=11),
        _cell(
            "news",
            "State",
            "datum.is_new ? 'new' : ''",
            y=f"{_Y} + 30",
            fontSize=11,
            fontWeight="'bold'",
            fill="'#8A3B00'",
        ),
    ]


def _cell(name: str, column: str, text: str, **more: object) -> Spec:
    end = min(at for at in (*_COLUMNS.values(), 1.0) if at > _COLUMNS[column])
    place = {
        "x": f"{_COLUMNS[column]} * width + 8",
        "y": _MIDDLE,
        "baseline": "'middle'",
        "text": text,
        "limit": f"{end - _COLUMNS[column]:.3f} * width - 14",
        "fill": f"'{INK}'",
    }
    return mark("text", name, "lines", **{**place, **more})
