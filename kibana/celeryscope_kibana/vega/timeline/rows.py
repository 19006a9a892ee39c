"""The rows: one an attempt, and one a step that was planned and is not reached, in their order, each with its bars.

Positions are seconds since the workflow's first moment: waiting until the eta (``ready``), waiting to be run (until
``began``), running (until ``ended``).
"""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana.states import LOOKS, NEVER_REACHED, PLANNED
from celeryscope_kibana.vega.source import Spec, aggregate, duration, formula, keep, lookup, quoted

_MOMENT: Final = "timeFormat({}, '%H:%M:%S.%L')"


def data() -> list[Spec]:
    """The data sets ``looks``, ``span``, ``rows``, ``in_view`` (rows in sight) and ``critical_points``."""
    looks = [
        {"state": state, "label": look.label, "colour": look.colour, "shape": look.shape, "order": order}
        for order, (state, look) in enumerate(LOOKS.items())
    ]
    going = f"datum.final && datum.state !== {quoted(semconv.STATE_RETRY)} ? 0 : 1"
    return [
        {"name": "looks", "values": looks},
        {
            "name": "span",
            "source": "tasks",
            "transform": [
                formula("going", going),
                aggregate(
                    [], start=("min", "first"), end=("max", "end"), going=("max", "going"), tasks=("count", None)
                ),
                keep("datum.tasks > 0"),
            ],
        },
        _attempt_rows(),
        _planned_rows(),
        _rows(),
        {
            "name": "in_view",
            "source": "rows",
            "transform": [keep("datum.row > first_row && datum.row <= first_row + in_sight")],
        },
        _critical_points(),
    ]


def _attempt_rows() -> Spec:
    placed = ["path", "depth", "cause"]
    return {
        "name": "attempt_rows",
        "source": "attempts",
        "transform": [
            keep("length(data('roots')) === 1"),
            lookup("tree", "id", "task", placed),
            lookup("tasks", "task", "task", ["attempts"]),
            lookup("critical", "id", "task", ["id"], ["critical"]),
            formula("is_critical", "datum.critical ? true : false"),
            formula("start", "(datum.first - data('span')[0].start) / 1000"),
            formula("finish", "max(datum.start, (datum.end - data('span')[0].start) / 1000)"),
            formula("began", f"datum.started ? {_between('datum.started', 'start', 'finish')} : datum.finish"),
            formula("ready", f"datum.eta ? {_between('datum.eta', 'start', 'began')} : datum.start"),
            formula("runs", "datum.started ? datum.finish - datum.began : 0"),
            formula("waits", "datum.began - datum.ready"),
        ],
    }


def _between(moment: str, low: str, high: str) -> str:
    return f"clamp(({moment} - data('span')[0].start) / 1000, datum.{low}, datum.{high})"


def _planned_rows() -> Spec:
    lost = "datum.cause || !data('span')[0].going"
    return {
        "name": "planned_rows",
        "source": "tree",
        "transform": [
            keep("datum.planned"),
            formula("task", "datum.id"),
            formula("state", f"{lost} ? {quoted(NEVER_REACHED)} : {quoted(PLANNED)}"),
            formula("retries", "0"),
            formula("attempts", "0"),
            formula("start", "max(0, (datum.free_at - data('span')[0].start) / 1000)"),
            formula("finish", "datum.start"),
            formula("began", "datum.start"),
            formula("ready", "datum.start"),
            formula("runs", "0"),
            formula("waits", "0"),
            formula("is_critical", "false"),
        ],
    }


def _rows() -> Spec:
    return {
        "name": "rows",
        "source": ["attempt_rows", "planned_rows"],
        "transform": [
            lookup("looks", "state", "state", ["label", "colour", "shape", "order"]),
            formula("colour", "datum.colour || '#7A818C'"),
            formula("shape", "datum.shape || 'circle'"),
            formula("label", "datum.label || lower(datum.state)"),
            formula("title", "datum.name + (datum.retries ? '  (attempt ' + (datum.retries + 1) + ')' : '')"),
            formula("note", _NOTE),
            formula("tooltip", _TOOLTIP),
            {"type": "collect", "sort": {"field": ["path", "retries"]}},
            {"type": "window", "ops": ["row_number"], "as": ["row"]},
        ],
    }


_NOTE: Final = (
    f"datum.planned ? datum.label + (datum.cause ? ': ' + peek(split(datum.cause, '.')) + ' stopped' : '')"
    f" : datum.started ? ({duration('datum.runs')}) + (datum.exception ? '  ' + peek(split(datum.exception, '.')) : '')"
    " : datum.label"
)
"""What stands beside a bar."""

_TOOLTIP: Final = (
    "datum.planned ? {'Task': datum.name, 'State': datum.label, 'Because of': datum.cause || '-'} : "
    "{'Task': datum.name, 'State': datum.label, "
    "'Attempt': (datum.retries + 1) + ' of ' + datum.attempts, "
    "'Worker': datum.worker || '-', 'Queue': datum.queue || '-', "
    f"'Sent': datum.sent ? {_MOMENT.format('datum.sent')} : '-', "
    f"'Started': datum.started ? {_MOMENT.format('datum.started')} : '-', "
    f"'Ended': datum.ended ? {_MOMENT.format('datum.ended')} : '-', "
    f"'Waited': {duration('datum.waits')}, 'Ran': datum.started ? ({duration('datum.runs')}) : '-', "
    "'Exception': datum.exception ? datum.exception + ': ' + datum.message : datum.reason || '-', "
    "'Critical path': datum.is_critical ? 'yes' : 'no', 'Task id': datum.task}"
)


def _critical_points() -> Spec:
    """The corners of one line along the critical path: on each bar until the next one of the path begins."""
    return {
        "name": "critical_points",
        "source": "rows",
        "transform": [
            keep("datum.is_critical"),
            {"type": "collect", "sort": {"field": ["start", "path", "retries"]}},
            {"type": "window", "ops": ["lead", "row_number"], "fields": ["start", None], "as": ["next", "step"]},
            formula("until", "isNumber(datum.next) ? datum.next : datum.finish"),
            {"type": "fold", "fields": ["start", "until"], "as": ["corner", "at"]},
            {"type": "collect", "sort": {"field": ["step", "at"]}},
        ],
    }
