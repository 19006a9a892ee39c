"""The order from top to bottom, and the critical path.

Celery's parent is only the task whose code, or whose end, published the message. For people the steps of a chain and
the body of a chord stand beside each other, at one depth; only what a task called itself is indented below it. So each
node hangs below the one that it comes after (``/``), else below the one that called it (``!``), and the texts of these
steps from the top down, compared as texts, are the order: what a task called comes before what follows it.
"""

from celeryscope_kibana.vega.source import Spec, aggregate, formula, keep, lookup, quoted
from celeryscope_kibana.vega.timeline.attempts import of_task
from celeryscope_kibana.vega.timeline.plan import CALLER, TOP

_LINE = quoted("\n")


def data() -> list[Spec]:
    """The data sets ``tree`` (with ``path``, ``depth``, ``cause``) and ``critical`` (ids of tasks, the last first)."""
    return [
        {
            "name": "task_nodes",
            "source": "tasks",
            "transform": [
                formula("id", "datum.task"),
                lookup("steps", "step", "id", ["ahead", "number", "awaited"]),
                of_task("parent", "task", names=("known_parent",)),
                formula("caller", CALLER),
            ],
        },
        {
            "name": "planned_nodes",
            "source": "steps",
            "transform": [
                of_task("step", "state", names=("reached",)),
                keep("!datum.reached"),
                formula("id", "datum.step"),
                formula("name", "datum.step_name"),
                formula("planned", "true"),
                formula("end", "0"),
                formula("first", "0"),
                formula("group_index", "-1"),
            ],
        },
        _tree_nodes(),
        _tree(),
        _critical_nodes(),
        {"name": "last", "source": "tasks", "transform": [aggregate([], last=("argmax", "end"))]},
        {
            "name": "critical",
            "source": "last",
            "transform": [
                formula("id", "pluck(treeAncestors('critical_nodes', datum.last ? datum.last.task : '') || [], 'id')"),
                {"type": "flatten", "fields": ["id"]},
                keep(f"datum.id !== '{TOP}'"),
            ],
        },
    ]


def _tree_nodes() -> Spec:
    follower = (
        "'/' + pad(toString(datum.number), 6, '0', 'left') + pad(toString(datum.group_index + 1), 6, '0', 'left')"
    )
    called = "'!' + pad(toString(datum.first), 14, '0', 'left') + pad(toString(datum.group_index + 1), 6, '0', 'left')"
    return {
        "name": "tree_nodes",
        "source": ["task_nodes", "planned_nodes", "top"],
        "transform": [
            formula("up", f"datum.id === '{TOP}' ? null : datum.ahead || datum.caller || '{TOP}'"),
            formula("local", f"datum.id === '{TOP}' ? '' : datum.ahead ? {follower} : {called}"),
            {"type": "stratify", "key": "id", "parentKey": "up"},
        ],
    }


def _tree() -> Spec:
    return {
        "name": "tree",
        "source": "tree_nodes",
        "transform": [
            keep(f"datum.id !== '{TOP}'"),
            formula("above", "treeAncestors('tree_nodes', datum.id)"),
            formula("path", "join(reverse(pluck(datum.above, 'local')), '')"),
            formula("depth", "length(split(datum.path, '!')) - 2"),
            # The nearest one above that has ended and stops what follows it, if any.
            formula("cause", f"split(trim(join(pluck(datum.above, 'stopper'), {_LINE})), {_LINE})[0]"),
            formula("free_at", "extent(pluck(datum.above, 'end'))[1]"),
        ],
    }


def _critical_nodes() -> Spec:
    """Each task below the one whose end it waited for last, else below its caller."""
    return {
        "name": "critical_nodes",
        "source": ["task_nodes", "top"],
        "transform": [
            formula("up", f"datum.id === '{TOP}' ? null : datum.awaited || datum.caller"),
            {"type": "stratify", "key": "id", "parentKey": "up"},
        ],
    }
