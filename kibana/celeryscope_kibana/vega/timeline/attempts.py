"""The attempts, as their documents tell of them, and the tasks they are attempts of.

Times are milliseconds since 1970. A run that seems to begin before it was sent, because hosts' clocks differ, is moved
behind that moment with its length kept (``skew``); no bar is negative.
"""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana.vega.source import (
    Spec,
    aggregate,
    around_time_range,
    formula,
    in_context,
    keep,
    listed,
    lookup,
    quoted,
    search,
    stored,
)

MOST: Final = 3000
"""Attempts of a workflow that are drawn."""
PICKED: Final = "celeryscope-picked:"
"""Begins the name of the filter that a click on a row sets; what it matches says so, and so the row is marked."""

_TEXTS: Final = {
    "task": semconv.TASK_ID,
    "name": semconv.TASK_NAME,
    "state": semconv.STATE,
    "root": semconv.ROOT_ID,
    "parent": semconv.PARENT_ID,
    "worker": semconv.WORKER,
    "queue": semconv.MESSAGING_DESTINATION,
    "group": semconv.GROUP_ID,
    "chord": semconv.CHORD_ID,
    "chord_name": semconv.CHORD_NAME,
    "exception": semconv.EXCEPTION_TYPE,
    "message": semconv.EXCEPTION_MESSAGE,
    "reason": semconv.RETRY_REASON,
}
_MOMENTS: Final = {
    "sent": semconv.SENT_AT,
    "received": semconv.RECEIVED_AT,
    "started": semconv.STARTED_AT,
    "ended": semconv.ENDED_AT,
    "eta": semconv.ETA,
}
_ARRAYS: Final = {
    "plan_ids": semconv.CHAIN_IDS,
    "plan_names": semconv.CHAIN_NAMES,
    "plan_after": semconv.CHAIN_AFTER,
}
_GOING_ON: Final = [semconv.STATE_SUCCESS, semconv.STATE_RETRY]


def data() -> list[Spec]:
    """The data sets ``attempts``, ``roots`` and ``tasks``."""
    fields = [*_TEXTS.values(), *_MOMENTS.values(), *_ARRAYS.values(), semconv.RETRIES, semconv.GROUP_INDEX]
    body = {
        "size": MOST,
        "track_total_hits": True,
        "_source": [*fields, "@timestamp"],
        "sort": [{"@timestamp": {"order": "asc", "unmapped_type": "date_nanos"}}],
        "query": in_context(around_time_range(), {"exists": {"field": semconv.ROOT_ID}}),
    }
    return [
        search("attempts", semconv.INDEX_TASKS_ALL, body, "hits.hits", _attempt()),
        {"name": "roots", "source": "attempts", "transform": [aggregate(["root"], attempts=("count", None))]},
        _tasks(),
    ]


def _attempt() -> list[Spec]:
    return [
        *(formula(name, f"{stored(field)} || ''") for name, field in _TEXTS.items()),
        *(formula(name, f"{stored(field)} ? toDate({stored(field)}) : null") for name, field in _MOMENTS.items()),
        *(formula(name, f"isArray({stored(field)}) ? {stored(field)} : []") for name, field in _ARRAYS.items()),
        formula("retries", f"{stored(semconv.RETRIES)} || 0"),
        formula("group_index", f"isNumber({stored(semconv.GROUP_INDEX)}) ? {stored(semconv.GROUP_INDEX)} : -1"),
        formula("final", f"indexof({listed(sorted(semconv.FINAL_STATES))}, datum.state) >= 0"),
        formula("stopper", f"datum.final && indexof({listed(_GOING_ON)}, datum.state) < 0 ? datum.name : ''"),
        formula(
            "first",
            "datum.sent || datum.received || datum.started || datum.ended || toDate(datum._source['@timestamp'])",
        ),
        formula("seen", "datum.started || datum.received || datum.ended"),
        formula("skew", "datum.sent && datum.seen && datum.seen < datum.sent ? datum.sent - datum.seen : 0"),
        formula("end", _END),
        formula("picked_by", "datum.matched_queries ? join(datum.matched_queries, ' ') : ''"),
        formula("picked", f"indexof(datum.picked_by, {quoted(PICKED)} + datum.task) >= 0"),
    ]


_END: Final = (
    "datum.ended ? max(datum.first, datum.ended + datum.skew)"
    " : datum.final ? max(datum.first, (datum.seen || datum.first) + datum.skew)"
    " : max(now(), datum.first)"
)


def _tasks() -> Spec:
    """One datum a task, with what its last attempt says; nothing while more than one workflow is found."""
    lifted = ("name", "state", "parent", "group", "group_index", "chord", "chord_name", "final", "stopper")
    return {
        "name": "tasks",
        "source": "attempts",
        "transform": [
            keep("length(data('roots')) === 1"),
            aggregate(
                ["task"],
                last=("argmax", "retries"),
                attempts=("count", None),
                first=("min", "first"),
                end=("max", "end"),
            ),
            *(formula(name, f"datum.last.{name}") for name in (*lifted, *_ARRAYS)),
        ],
    }


def of_task(by: str, *values: str, names: tuple[str, ...] = ()) -> Spec:
    """A lookup of a task by its id."""
    return lookup("tasks", "task", by, values, names)
