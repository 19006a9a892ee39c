"""What stands above the rows: the workflow's name, what became of it, and the meaning of shapes and colours."""

from typing import Final

from celeryscope_kibana.states import GREY, INK
from celeryscope_kibana.vega.source import Spec, aggregate, duration, formula, keep, lookup
from celeryscope_kibana.vega.timeline.attempts import MOST

_LETTER: Final = 6.4
"""Pixels of a letter of the legend, about."""

_NAME: Final = (
    "length(data('heads')) ? join(slice(pluck(data('heads'), 'name'), 0, 3), ', ')"
    " + (length(data('heads')) > 3 ? ' and ' + (length(data('heads')) - 3) + ' more' : '') : ''"
)
_SKEW: Final = "extent(pluck(data('attempts'), 'skew'))[1]"
_SUBTITLE: Final = (
    "length(data('span')) ? 'Workflow ' + data('roots')[0].root"
    " + '   \u2022   started ' + timeFormat(data('span')[0].start, '%Y-%m-%d %H:%M:%S')"
    f" + '   \u2022   ' + (data('span')[0].going ? 'running for ' : 'took ') + ({duration('total')})"
    " + '   \u2022   ' + data('span')[0].tasks + (data('span')[0].tasks === 1 ? ' task, ' : ' tasks, ')"
    " + length(data('attempt_rows')) + (length(data('attempt_rows')) === 1 ? ' attempt' : ' attempts')"
    f" + (length(data('attempts')) >= {MOST} ? ' (only the first {MOST} are drawn)' : '')"
    f" + ({_SKEW} > 5 ? '   \u2022   clocks differ by ' + ({duration(_SKEW + ' / 1000')}) : '') : ''"
)


def data() -> list[Spec]:
    """The data sets ``heads`` (the tasks at the top), ``legend`` and ``picked`` (the row that is filtered by)."""
    return [
        {
            "name": "heads",
            "source": "rows",
            "transform": [
                keep("datum.depth === 0 && datum.path && indexof(datum.path, '/') < 0 && !datum.planned"),
                aggregate(["name"], path=("min", "start")),
                {"type": "collect", "sort": {"field": "path"}},
            ],
        },
        {
            "name": "legend",
            "source": "rows",
            "transform": [
                aggregate(["state"], count=("count", None)),
                lookup("looks", "state", "state", ["label", "colour", "shape", "order"]),
                formula("text", "(datum.label || lower(datum.state)) + ' ' + datum.count"),
                formula("width", f"36 + length(datum.text) * {_LETTER}"),
                {"type": "collect", "sort": {"field": "order"}},
                {"type": "stack", "field": "width", "sort": {"field": "order"}, "as": ["x0", "x1"]},
            ],
        },
        {
            "name": "picked",
            "source": "attempts",
            "transform": [keep("datum.picked"), aggregate(["task"], count=("count", None))],
        },
    ]


def marks() -> list[Spec]:
    """Title, line of facts, legend."""
    states_end = "(length(data('legend')) ? peek(data('legend')).x1 : 0)"
    return [
        _text(_NAME, y=9, size=16, weight="bold"),
        _text(_SUBTITLE, y=31, size=12, colour="#535966"),
        {
            "type": "symbol",
            "name": "legend_symbols",
            "from": {"data": "legend"},
            "encode": {
                "update": {
                    "x": {"signal": "datum.x0 + 7"},
                    "y": {"value": 55},
                    "size": {"value": 90},
                    "shape": {"field": "shape"},
                    "fill": {"signal": "datum.colour || '#7A818C'"},
                }
            },
        },
        {
            "type": "text",
            "name": "legend_texts",
            "from": {"data": "legend"},
            "encode": {
                "update": {
                    "x": {"signal": "datum.x0 + 17"},
                    "y": {"value": 55},
                    "text": {"field": "text"},
                    "baseline": {"value": "middle"},
                    "fill": {"value": INK},
                }
            },
        },
        *_keys(states_end),
    ]


def _keys(start: str) -> list[Spec]:
    """The legend of what is no state: waiting, waiting for an eta, critical path."""
    waiting = {"type": "rect", "height": {"value": 8}, "y": {"value": 51}, "fill": {"value": "#CDD2DA"}}
    delayed = {"type": "rule", "y": {"value": 55}, "stroke": {"value": GREY}, "strokeDash": {"value": [2, 3]}}
    critical = {"type": "rule", "y": {"value": 57}, "stroke": {"value": INK}, "strokeWidth": {"value": 2.5}}
    found = []
    for number, (shape, label, offset) in enumerate(
        ((waiting, "waiting", 10), (delayed, "until its eta", 94), (critical, "critical path", 208))
    ):
        kind = str(shape.pop("type"))
        shown = {"signal": "length(data('span')) && width > 620 ? 1 : 0"}
        end = {"width": {"value": 22}} if kind == "rect" else {"x2": {"signal": f"{start} + {offset + 22}"}}
        place = {"x": {"signal": f"{start} + {offset}"}, **end, **shape, "opacity": shown}
        found.append({"type": kind, "name": f"key_{number}", "encode": {"update": place}})
        text = _text(f"'{label}'", y=55, size=12, x=f"{start} + {offset + 27}", baseline="middle")
        text["encode"]["update"]["opacity"] = shown
        found.append(text)
    return found


def _text(
    expression: str,
    *,
    y: int,
    size: int,
    x: str = "0",
    colour: str = INK,
    weight: str = "normal",
    baseline: str = "top",
) -> Spec:
    return {
        "type": "text",
        "encode": {
            "update": {
                "x": {"signal": x},
                "y": {"value": y},
                "text": {"signal": expression},
                "fontSize": {"value": size},
                "fontWeight": {"value": weight},
                "fill": {"value": colour},
                "baseline": {"value": baseline},
                "limit": {"signal": "width"},
            }
        },
    }
