"""Sizes and what moves: which rows are in sight, and the time axis.

Rows are as high as the panel allows, within limits; those that find no room are reached with the wheel, or with the map
of all rows at the right.
"""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana.vega.source import Spec, hovering, over, quoted, scrolled_by
from celeryscope_kibana.vega.timeline.attempts import PICKED

TOP: Final = 104
"""Pixels above the first row: title, legend, time axis."""
_LOWEST, _HIGHEST = 16, 28
_TASKS: Final = semconv.INDEX_TASKS_ALL
# Filters hold for the whole dashboard. One that any attempt matches leaves the timeline as it is and filters the rest.
_OF_TASK: Final = (
    f"{{bool: {{_name: {quoted(PICKED)} + datum.task, minimum_should_match: 1, should: ["
    f"{{term: {{{quoted(semconv.TASK_ID)}: datum.task}}}}, "
    f"{{prefix: {{_index: {quoted(semconv.INDEX_TASKS + '-')}}}}}]}}}}"
)
_ALREADY: Final = "data('picked')[0]"
_OF_OTHER: Final = _OF_TASK.replace("datum.task", f"{_ALREADY}.task")


def signals() -> list[Spec]:
    """All signals of the timeline."""
    return [
        {"name": "chosen", "update": "length(data('roots')) === 1"},
        {
            "name": "total",
            "update": "max(0.001, (data('span')[0] ? data('span')[0].end - data('span')[0].start : 0) / 1000)",
        },
        {"name": "names_width", "update": "clamp(width * 0.28, 150, 340)"},
        {"name": "rows_height", "update": f"max(40, height - {TOP})"},
        {
            "name": "row_height",
            "update": f"clamp(floor(rows_height / max(1, length(data('rows')))), {_LOWEST}, {_HIGHEST})",
        },
        {"name": "in_sight", "update": "max(1, floor(rows_height / row_height))"},
        {"name": "hidden", "update": "max(0, length(data('rows')) - in_sight)"},
        {"name": "map_width", "update": "hidden > 0 ? 18 : 0"},
        {"name": "bars_width", "update": "max(80, width - names_width - map_width - 10)"},
        {"name": "map_step", "update": "rows_height / max(1, length(data('rows')))"},
        {
            "name": "scrolled",
            "value": 0,
            "on": [
                scrolled_by("scrolled", "row_area", "hidden", 3, also="@map_area:wheel!"),
                {
                    "events": "@map_area:mousedown, [@map_area:mousedown, window:mouseup] > window:mousemove",
                    "update": f"hidden ? clamp(round((y() - {TOP}) / map_step - in_sight / 2), 0, hidden) : scrolled",
                },
            ],
        },
        {"name": "first_row", "update": "min(scrolled, hidden)"},
        hovering("hovered", "row_area", "task"),
        {
            "name": "clicked",
            "value": None,
            "on": [{"events": over("row_area", "click"), "update": _pick()}],
        },
    ]


def _pick() -> str:
    """Take back the filter of the row that was picked before, and set this row's; a second click only takes back."""
    take_back = f"kibanaRemoveFilter({_OF_OTHER}, {quoted(_TASKS)})"
    add = f"kibanaAddFilter({_OF_TASK}, {quoted(_TASKS)}, 'Task ' + datum.name + ' ' + slice(datum.task, 0, 8))"
    return (
        f"datum.planned ? null : [{_ALREADY} ? {take_back} : null, "
        f"{_ALREADY} && {_ALREADY}.task === datum.task ? null : {add}, datum.task]"
    )


def scales() -> list[Spec]:
    """Seconds to pixels, from the left end of the bars."""
    return [
        {
            "name": "time",
            "type": "linear",
            "domain": [0, {"signal": "total"}],
            "range": [0, {"signal": "bars_width - 16"}],
            "zero": True,
        }
    ]
