"""The list to choose a workflow from: those that failed, ran long or waited long, while none is chosen."""

from typing import Any, Final

from celeryscope import semconv
from celeryscope_kibana.states import INK, LOOKS
from celeryscope_kibana.vega.source import (
    Spec,
    aggregate,
    areas,
    duration,
    formula,
    hovering,
    in_context,
    in_time_range,
    keep,
    lookup,
    mark,
    over,
    quoted,
    scrolled_list,
    scrolling,
    search,
)

_TASKS: Final = semconv.INDEX_TASKS_ALL
_TOP: Final = 76
"""Pixels above the first line."""
_LINE: Final = 24
_COLUMNS: Final = {
    "Started": 0.0,
    "Workflow": 0.14,
    "States": 0.46,
    "Attempts": 0.70,
    "Took": 0.79,
    "Here because": 0.88,
}
"""Where each column begins, as a part of the width."""
_ORDERS: Final = (("failed", "failed", 30), ("ran long", "run", 15), ("waited long", "wait", 15))
"""Why workflows are in the list, what orders them then, and how many of them at most."""


def data() -> list[Spec]:
    """The data sets ``found`` (aggregations), ``workflows`` (a line each) and ``shares`` (of states in its bar)."""
    body = {
        "size": 0,
        "query": in_context(in_time_range()),
        "aggs": {order: _workflows_by(order, size) for _, order, size in _ORDERS},
    }
    return [
        search("found", _TASKS, body, "aggregations"),
        *(_buckets(rank, reason, order) for rank, (reason, order, _) in enumerate(_ORDERS)),
        _workflows(),
        _shares(),
    ]


def _workflows_by(order: str, size: int) -> Spec:
    return {
        "terms": {"field": semconv.ROOT_ID, "size": size, "order": [{order: "desc"}, {"_key": "asc"}]},
        "aggs": {
            "failed": {"filter": {"terms": {semconv.STATE: sorted(semconv.FAILED_STATES)}}},
            "run": {"sum": {"field": semconv.RUNTIME}},
            "wait": {"sum": {"field": semconv.QUEUE_TIME}},
            "started": {"min": {"field": "@timestamp"}},
            "ended": {"max": {"field": semconv.ENDED_AT}},
            "states": {"terms": {"field": semconv.STATE, "size": len(LOOKS)}},
            "names": {
                "terms": {"field": semconv.TASK_NAME, "size": 1, "order": {"first": "asc"}},
                "aggs": {"first": {"min": {"field": "@timestamp"}}},
            },
        },
    }


def _buckets(rank: int, reason: str, order: str) -> Spec:
    return {
        "name": f"found_{order}",
        "source": "found",
        "transform": [
            keep("length(data('roots')) !== 1"),
            formula("bucket", f"datum.{order} ? datum.{order}.buckets : []"),
            {"type": "flatten", "fields": ["bucket"]},
            keep(f"datum.bucket && datum.bucket.{order}.{'doc_count' if order == 'failed' else 'value'} > 0"),
            formula("root", "datum.bucket.key"),
            formula("reason", quoted(reason)),
            formula("rank", str(rank)),
        ],
    }


def _workflows() -> Spec:
    return {
        "name": "workflows",
        "source": [f"found_{order}" for _, order, _ in _ORDERS],
        "transform": [
            aggregate(["root"], best=("argmin", "rank")),
            formula("reason", "datum.best.reason"),
            formula("rank", "datum.best.rank"),
            formula("bucket", "datum.best.bucket"),
            formula("name", "datum.bucket.names.buckets[0] ? datum.bucket.names.buckets[0].key : datum.root"),
            formula("started", "datum.bucket.started.value"),
            formula("took", "max(0, ((datum.bucket.ended.value || now()) - datum.started) / 1000)"),
            formula("attempts", "datum.bucket.doc_count"),
            formula("states", "datum.bucket.states.buckets"),
            {"type": "collect", "sort": {"field": ["rank", "started"], "order": ["ascending", "descending"]}},
            {"type": "window", "ops": ["row_number"], "as": ["line"]},
        ],
    }


def _shares() -> Spec:
    return {
        "name": "shares",
        "source": "workflows",
        "transform": [
            {"type": "flatten", "fields": ["states"], "as": ["state_bucket"]},
            formula("state", "datum.state_bucket.key"),
            formula("count", "datum.state_bucket.doc_count"),
            lookup("looks", "state", "state", ["label", "colour", "shape", "order"]),
            {"type": "stack", "groupby": ["root"], "field": "count", "sort": {"field": "order"}, "as": ["c0", "c1"]},
        ],
    }


def signals() -> list[Spec]:
    """Which lines are in sight, and the click that chooses."""
    filtered = f"{{match_phrase: {{{quoted(semconv.ROOT_ID)}: datum.root}}}}"
    return [
        *scrolling("lines_", "line_area", "workflows", top=_TOP, line=_LINE, lines=3),
        hovering("hovered_line", "line_area", "root"),
        {
            "name": "chose",
            "value": None,
            "on": [
                {
                    "events": over("line_area", "click"),
                    "update": f"[kibanaAddFilter({filtered}, {quoted(_TASKS)}, 'Workflow ' + datum.name), datum.root]",
                }
            ],
        },
    ]


def marks() -> list[Spec]:
    """The list, with its heading; nothing while a workflow is chosen."""
    height = f"{_TOP} + lines_in_sight * {_LINE}"
    in_sight = "datum.line > lines_scrolled && datum.line <= lines_scrolled + lines_in_sight"
    data = {"lines": "workflows", "parts": "shares"}
    return [scrolled_list("list_area", height, in_sight, data, _COLUMNS, [*_heading(), *_lines()])]


def _heading() -> list[Spec]:
    title = "chosen ? '' : length(data('workflows')) ? 'Choose a workflow' : 'No workflow in this time range'"
    hint = (
        "chosen ? '' : length(data('workflows')) ? 'Those of this time range that failed, ran long or waited long;"
        " a click opens its timeline and filters the dashboard.'"
        " : 'Choose a longer time range, or fewer filters.'"
    )
    return [
        mark(
            "text",
            "list_title",
            None,
            y=9,
            baseline="'top'",
            text=title,
            fontSize=16,
            fontWeight="'bold'",
            fill=f"'{INK}'",
        ),
        mark("text", "list_hint", None, y=31, baseline="'top'", text=hint, fill="'#535966'"),
        mark(
            "text",
            "list_columns",
            "columns",
            x="datum.at * width + 6",
            y=_TOP - 12,
            text="length(data('workflows')) ? datum.title : ''",
            baseline="'middle'",
            fontWeight="'bold'",
            fill="'#535966'",
        ),
    ]


_Y: Final = f"{_TOP} + (datum.line - 1 - lines_scrolled) * {_LINE}"
_MIDDLE: Final = f"{_Y} + {_LINE // 2}"
_BAR_START: Final = f"({_COLUMNS['States']} * width + 6)"
_BAR_WIDTH: Final = f"({_COLUMNS['Attempts'] - _COLUMNS['States']} * width - 30)"


def _lines() -> list[Spec]:
    background = "datum.root === hovered_line ? '#EEF3FA' : datum.line % 2 ? '#F7F8FA' : '#FFFFFF'"
    failed = f"datum.reason === 'failed' ? '#8A3B00' : '{INK}'"
    part = f"{_BAR_WIDTH} / datum.attempts"
    return [
        mark("rect", "line_backgrounds", "lines", x=0, y=_Y, width="width", height=_LINE, fill=background),
        _cell("Started", "timeFormat(datum.started, '%b %d %H:%M:%S')"),
        _cell("Workflow", "datum.name"),
        mark(
            "rect",
            "line_states",
            "parts",
            x=f"{_BAR_START} + datum.c0 * {part}",
            x2=f"{_BAR_START} + datum.c1 * {part}",
            y=f"{_MIDDLE} - 6",
            height=12,
            fill="datum.colour || '#7A818C'",
            stroke="'#FFFFFF'",
            strokeWidth=1,
        ),
        mark(
            "symbol",
            "line_shapes",
            "parts",
            x=f"{_BAR_START} + (datum.c0 + datum.c1) / 2 * {part}",
            y=_MIDDLE,
            size=36,
            shape="datum.shape || 'circle'",
            fill="'#FFFFFF'",
            fillOpacity=f"(datum.c1 - datum.c0) * {part} > 10 ? 1 : 0",
        ),
        _cell("Attempts", "toString(datum.attempts)"),
        _cell("Took", duration("datum.took")),
        _cell("Here because", "datum.reason", fill=failed),
        *areas(
            "line_area",
            "lines",
            "lines_hidden",
            width="width",
            y=_Y,
            height=_LINE,
            tooltip=_TOOLTIP,
            cursor="'pointer'",
        ),
    ]


_TOOLTIP: Final = (
    "{'Workflow': datum.name, 'Root id': datum.root, "
    "'States': join(pluck(datum.states, 'key'), ', '), "
    f"'Running together': {duration('datum.bucket.run.value')}, "
    f"'In queues together': {duration('datum.bucket.wait.value')}}}"
)


def _cell(column: str, text: str, **more: Any) -> Spec:
    ends = [at for at in (*_COLUMNS.values(), 1.0) if at > _COLUMNS[column]]
    return mark(
        "text",
        f"line_{column.lower().replace(' ', '_')}",
        "lines",
        **{
            "x": f"{_COLUMNS[column]} * width + 6",
            "y": _MIDDLE,
            "baseline": "'middle'",
            "text": text,
            "limit": f"{ends[0] - _COLUMNS[column]:.2f} * width - 12",
            "fill": f"'{INK}'",
            **more,
        },
    )
