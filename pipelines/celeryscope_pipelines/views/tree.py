"""The order of a workflow: its tasks as a tree, chains and chords in their order, planned steps in their place.

Pure: attempts in, nodes out. What Celery says about ancestry is only ``parent_id``, the task whose code (or whose end)
published the message. So in a chain each step is the parent of the next, and a chord's body is the child of whichever
header task happened to end last. For people that is a staircase and a lottery; here the steps of a chain and the body
of a chord stand beside each other, in order, at the depth of the first of them, and only tasks that a task called
itself are indented below it.

Every attempt given appears in exactly one node, whatever the data: an unknown parent or a circle of parents makes a
node of its own at the top.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from celeryscope import semconv
from celeryscope_pipelines.views.attempts import Attempt


class Relation(StrEnum):
    """Why a node stands where it stands."""

    ROOT = "root"
    CHILD = "child"
    CHAIN = "chain"
    """The next step of a chain, or a member of the group that is the next step."""
    CHORD = "chord"
    """The body of a chord, after its header."""
    ORPHAN = "orphan"
    """The task has a parent that is not among the attempts."""


@dataclass(frozen=True, slots=True)
class Node:
    """A task in its place; ``attempts`` is empty for a step that was planned and not reached."""

    task_id: str
    name: str
    depth: int
    relation: Relation
    attempts: tuple[Attempt, ...]
    waits_for: tuple[str, ...]
    """Ids of the tasks that have to succeed before this one can run."""
    named: bool = True
    """False for a planned step that has no id yet; ``task_id`` is then one of ours."""


@dataclass(slots=True)
class _Plan:
    """Who follows whom, as far as the attempts tell."""

    tasks: dict[str, tuple[Attempt, ...]]
    names: dict[str, str] = field(default_factory=dict)
    """Planned steps, by id; those that Celery has given no id yet have one of ours."""
    unnamed: set[str] = field(default_factory=set)
    """Ids of ours."""
    ahead: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """What has to succeed before a step."""
    bodies: set[str] = field(default_factory=set)
    """Steps that wait for a whole group."""

    def waits_for(self, task_id: str) -> tuple[str, ...]:
        return tuple(self.ahead.get(task_id, ()))

    def add(self, step: str, name: str, ahead: Iterable[str]) -> None:
        """A step after others; that it waits for itself is nothing one can draw."""
        self.names.setdefault(step, name)
        known = self.ahead[step]
        known += [before for before in ahead if before != step and before not in known]


def arrange(attempts: Iterable[Attempt]) -> list[Node]:
    """The nodes of a workflow from top to bottom."""
    plan = _plan(_tasks(attempts))
    homes = _homes(plan)
    return _Walk(plan, homes).nodes()


def _tasks(attempts: Iterable[Attempt]) -> dict[str, tuple[Attempt, ...]]:
    """Attempts by task, in the order of their retries; of two snapshots of an attempt the later one."""
    latest: dict[tuple[str, int], Attempt] = {}
    for attempt in attempts:
        known = latest.get((attempt.task_id, attempt.retries))
        if known is None or attempt.clock > known.clock:
            latest[attempt.task_id, attempt.retries] = attempt
    grouped: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in sorted(latest.values(), key=lambda attempt: attempt.retries):
        grouped[attempt.task_id].append(attempt)
    return {task_id: tuple(own) for task_id, own in sorted(grouped.items(), key=lambda item: _time_key(item[1]))}


def _time_key(attempts: Iterable[Attempt]) -> tuple[float, int, str, str]:
    first = next(iter(attempts))
    time = first.first_time.timestamp() if first.first_time else float("inf")
    return time, first.group_index or 0, first.name, first.task_id


def _plan(tasks: dict[str, tuple[Attempt, ...]]) -> _Plan:
    plan = _Plan(tasks)
    for task_id, attempts in tasks.items():
        last = attempts[-1]
        _add_steps(plan, last)
        if last.chord_id and last.chord_id != task_id:
            plan.add(last.chord_id, last.chord_name or "(unnamed task)", [task_id])
            plan.bodies.add(last.chord_id)
    _add_fellow_members(plan)
    for step, ahead in plan.ahead.items():
        ahead[:] = [before for before in ahead if before in tasks or before in plan.names]
        if len(ahead) > 1:
            plan.bodies.add(step)
    return plan


def _add_steps(plan: _Plan, attempt: Attempt) -> None:
    """What was to follow a task; the steps without ids are left out once the tasks that followed name them again."""
    followed = any(step_id in plan.tasks for step_id, _ in attempt.chain)
    keys = [[attempt.task_id]]
    for number, ((step_id, name), after) in enumerate(attempt.planned):
        ahead = [key for before in after if before <= number for key in keys[before]]
        if not step_id and attempt.state == semconv.STATE_SUCCESS and (followed or after == (0,)):
            keys.append(ahead)
            continue
        step = step_id or f"{'+'.join(ahead)}/{name}/{attempt.chain[:number].count(('', name))}"
        keys.append([step])
        if not step_id:
            plan.unnamed.add(step)
        if step != attempt.task_id:
            plan.add(step, name, ahead)


def _add_fellow_members(plan: _Plan) -> None:
    """Of a large group only the first members are planned by name; the others follow the same steps."""
    groups: dict[str, list[str]] = defaultdict(list)
    for task_id, attempts in plan.tasks.items():
        if group_id := attempts[-1].group_id:
            groups[group_id].append(task_id)
    for members in groups.values():
        ahead = next((plan.ahead[member] for member in members if plan.ahead.get(member)), [])
        for member in members:
            if not plan.ahead.get(member):
                plan.ahead[member] = [before for before in ahead if before not in members]


def _homes(plan: _Plan) -> dict[str, str | None]:
    """The task that each node is indented below; None for the top."""
    homes: dict[str, str | None] = {}
    for start in (*plan.tasks, *plan.names):
        path: dict[str, None] = {}
        current = start
        while current not in homes and current not in path:
            path[current] = None
            ahead = plan.waits_for(current)
            if not ahead:
                homes[current] = _known_parent(plan, current)
                break
            current = ahead[0]
        home = homes.get(current)
        homes.update((task, home) for task in path if task not in homes)
    return homes


def _known_parent(plan: _Plan, task_id: str) -> str | None:
    attempts = plan.tasks.get(task_id)
    parent = attempts[-1].parent_id if attempts else None
    return parent if parent in plan.tasks and parent != task_id else None


class _Walk:
    """One pass from top to bottom, with a stack of its own: chains of a thousand steps are no recursion."""

    def __init__(self, plan: _Plan, homes: dict[str, str | None]) -> None:
        self._plan = plan
        self._homes = homes
        self._depths: dict[str, int] = {}
        self._nodes: list[Node] = []
        self._children: dict[str | None, list[str]] = defaultdict(list)
        self._followers: dict[str, list[str]] = defaultdict(list)
        self._missing: dict[str, int] = {}
        for task_id in (*plan.tasks, *(name for name in plan.names if name not in plan.tasks)):
            ahead = plan.waits_for(task_id)
            if not ahead:
                self._children[homes.get(task_id)].append(task_id)
            self._missing[task_id] = len(ahead)
            for predecessor in ahead:
                self._followers[predecessor].append(task_id)

    def nodes(self) -> list[Node]:
        """All nodes; what a circle keeps out of reach of the top comes last, as tops of their own."""
        tops = sorted(self._children[None], key=lambda task_id: self._relation(task_id) is not Relation.ROOT)
        for task_id in tops:
            self._descend(task_id)
        for task_id in self._missing:
            self._descend(task_id)
        return self._nodes

    def _descend(self, top: str) -> None:
        stack = [(top, 0)]
        while stack:
            task_id, depth = stack.pop()
            if task_id in self._depths:
                continue
            self._depths[task_id] = depth
            self._nodes.append(self._node(task_id, depth))
            following = [(next_id, depth) for next_id in self._ready_after(task_id)]
            below = [(child, depth + 1) for child in self._children[task_id]]
            stack.extend(reversed([*below, *following]))

    def _ready_after(self, task_id: str) -> list[str]:
        for follower in self._followers[task_id]:
            self._missing[follower] -= 1
        return [follower for follower in self._followers[task_id] if self._missing[follower] <= 0]

    def _node(self, task_id: str, depth: int) -> Node:
        attempts = self._plan.tasks.get(task_id, ())
        name = attempts[-1].name if attempts else self._plan.names[task_id]
        ahead = self._plan.waits_for(task_id)
        named = task_id not in self._plan.unnamed
        return Node(task_id, name, depth, self._relation(task_id), attempts, ahead, named)

    def _relation(self, task_id: str) -> Relation:
        if self._plan.ahead.get(task_id):
            return Relation.CHORD if task_id in self._plan.bodies else Relation.CHAIN
        attempts = self._plan.tasks.get(task_id, ())
        if attempts and attempts[-1].root_id == task_id:
            return Relation.ROOT
        if self._homes.get(task_id) is not None:
            return Relation.CHILD
        parent = attempts[-1].parent_id if attempts else None
        return Relation.ORPHAN if parent else Relation.ROOT
