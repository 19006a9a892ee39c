"""Who waits for whom: the plans that attempts carry, chords, and members of groups that no plan had room for.

An edge says that ``step`` comes after ``ahead``. The plan's format is docs/data.md's ("Canvases").
"""

from typing import Final

from celeryscope import semconv
from celeryscope_kibana.vega.source import Spec, aggregate, formula, keep, quoted
from celeryscope_kibana.vega.timeline.attempts import of_task

CALLER: Final = "(datum.known_parent && datum.parent !== datum.task ? datum.parent : 'ROOT')"
"""The task that called this one, once ``known_parent`` is looked up."""
_CHORDS_FIRST: Final = 1_000_000
"""What a task says itself about the chord it belongs to is surer than what was planned."""
_FELLOWS: Final = 1000
"""Members that no plan names stand after those that are named: plans name the first ones."""
TOP: Final = "ROOT"
"""The id of what all nodes hang below."""
_SUCCEEDED: Final = f"datum.state === {quoted(semconv.STATE_SUCCESS)}"


def data() -> list[Spec]:
    """The data sets ``edges`` (all), and ``steps``: each step with the one task that it stands after."""
    return [
        {"name": "top", "values": [{"id": TOP, "task": TOP, "name": "", "local": "", "stopper": "", "end": 0}]},
        _plan(),
        _chords(),
        {"name": "named_edges", "source": ["plan", "chords"], "transform": [keep("datum.ahead !== datum.step")]},
        _parents(),
        _credible("credible_edges", "named_edges"),
        {
            "name": "named_steps",
            "source": "credible_edges",
            "transform": [aggregate(["step"], chosen=("argmax", "rank")), formula("ahead", "datum.chosen.ahead")],
        },
        _fellows(),
        {
            "name": "edges",
            "source": ["credible_edges", "fellows"],
            "transform": [
                of_task("ahead", "stopper", "end", names=("ahead_stopper", "ahead_end")),
                formula("ahead_stopper", "datum.ahead_stopper || ''"),
                formula("ahead_stops", "length(datum.ahead_stopper) > 0 ? 1 : 0"),
                formula("ahead_end", "datum.ahead_end || 0"),
            ],
        },
        _steps(),
    ]


def _plan() -> Spec:
    """Steps that have no id yet get one of ours; they are left out once the tasks that followed name them."""
    unnamed = "datum.task + '/' + "
    return {
        "name": "plan",
        "source": "tasks",
        "transform": [
            keep("length(datum.plan_ids) > 0"),
            formula("plan_numbers", "sequence(1, length(datum.plan_ids) + 1)"),
            {
                "type": "flatten",
                "fields": ["plan_ids", "plan_names", "plan_numbers"],
                "as": ["step_id", "step_name", "number"],
            },
            of_task("step_id", "state", names=("reached",)),
            formula("is_reached", "datum.reached ? 1 : 0"),
            {
                "type": "joinaggregate",
                "groupby": ["task"],
                "ops": ["max"],
                "fields": ["is_reached"],
                "as": ["followed"],
            },
            formula("after", "datum.plan_after[datum.number - 1] || toString(datum.number - 1)"),
            keep(f"datum.step_id || !({_SUCCEEDED} && (datum.followed || datum.after === '0'))"),
            formula("step", f"datum.step_id || {unnamed} datum.number"),
            formula("step_name", "datum.step_name || '(unnamed task)'"),
            formula("aheads", "split(datum.after, ',')"),
            {"type": "flatten", "fields": ["aheads"], "as": ["rank"]},
            formula("rank", "toNumber(datum.rank) || 0"),
            formula(
                "ahead",
                "datum.rank === 0 ? datum.task : datum.plan_ids[datum.rank - 1] || "
                f"({_SUCCEEDED} || datum.rank > length(datum.plan_ids) ? datum.task : {unnamed} datum.rank)",
            ),
        ],
    }


def _chords() -> Spec:
    """The body of a chord stands after the last member of its header."""
    return {
        "name": "chords",
        "source": "tasks",
        "transform": [
            keep("datum.chord && datum.chord !== datum.task"),
            formula("step", "datum.chord"),
            formula("step_name", "datum.chord_name || '(unnamed task)'"),
            formula("ahead", "datum.task"),
            formula("rank", f"{_CHORDS_FIRST} + datum.group_index"),
            formula("number", "1"),
        ],
    }


def _parents() -> Spec:
    """The tree of who called whom."""
    return {
        "name": "parents",
        "source": ["tasks", "top"],
        "transform": [
            of_task("parent", "task", names=("known_parent",)),
            formula("up", f"datum.task === '{TOP}' ? null : {CALLER}"),
            {"type": "stratify", "key": "task", "parentKey": "up"},
        ],
    }


def _credible(name: str, source: str) -> Spec:
    """Without the edges to a task from one that it has called itself: a task that a chord replaces is such a one."""
    called = "pluck(treeAncestors('parents', datum.ahead) || [], 'task')"
    return {"name": name, "source": source, "transform": [keep(f"indexof({called}, datum.step) < 0")]}


def _fellows() -> Spec:
    """Of a large group only the first members are planned by name; the others stand after the same task."""
    own = {
        "type": "lookup",
        "from": "named_steps",
        "key": "step",
        "fields": ["task"],
        "values": ["ahead"],
        "as": ["own"],
    }
    return {
        "name": "fellows",
        "source": "tasks",
        "transform": [
            keep("datum.group"),
            {**own, "default": None},
            formula("knows", "datum.own ? 1000000 - datum.group_index : 0"),
            {"type": "joinaggregate", "groupby": ["group"], "ops": ["argmax"], "fields": ["knows"], "as": ["fellow"]},
            keep("!datum.own && datum.fellow.own && datum.fellow.own !== datum.task"),
            formula("step", "datum.task"),
            formula("step_name", "datum.name"),
            formula("ahead", "datum.fellow.own"),
            formula("rank", "0"),
            formula("number", f"{_FELLOWS} + datum.group_index"),
        ],
    }


def _steps() -> Spec:
    return {
        "name": "steps",
        "source": "edges",
        "transform": [
            aggregate(
                ["step"],
                chosen=("argmax", "rank"),
                blocking=("argmax", "ahead_stops"),
                awaited=("argmax", "ahead_end"),
            ),
            formula("ahead", "datum.chosen.ahead"),
            formula("number", "datum.chosen.number"),
            formula("step_name", "datum.chosen.step_name"),
            formula("stopper", "datum.blocking.ahead_stopper"),
            formula("awaited", "datum.awaited.ahead_end ? datum.awaited.ahead : null"),
        ],
    }
