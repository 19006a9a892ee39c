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

from celeryscope_pipelines.views.attempts import Attempt


class Relation(StrEnum):
    """Why a node stands where it stands."""

    ROOT = "root"
    CHILD = "child"
    CHAIN = "chain"
    """The next step of a chain."""
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
    previous: dict[str, str] = field(default_factory=dict)
    """The step of a chain that comes before."""
    headers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The header tasks of each chord, by the id of its body."""

    def waits_for(self, task_id: str) -> tuple[str, ...]:
        if task_id in self.headers:
            return tuple(self.headers[task_id])
        return (self.previous[task_id],) if task_id in self.previous else ()


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
        before = task_id
        for step_id, name in last.chain:
            # Celery names some groups and chords only when they are reached.
            step = step_id or f"{before}/next"
            if step in {before, task_id}:
                continue
            plan.previous.setdefault(step, before)
            plan.names.setdefault(step, name)
            before = step
    for task_id, attempts in tasks.items():
        last = attempts[-1]
        if last.chord_id and last.chord_id != task_id:
            plan.headers[last.chord_id].append(task_id)
            plan.names[last.chord_id] = last.chord_name or plan.names.get(last.chord_id, "(unnamed task)")
    _resolve_groups(plan)
    _resolve_chords(plan)
    return plan


def _resolve_groups(plan: _Plan) -> None:
    """A step that is a whole group is planned under the group's id, or under none: put its members in its place."""
    members: dict[str, list[str]] = defaultdict(list)
    for task_id, attempts in plan.tasks.items():
        if group_id := attempts[-1].group_id:
            members[group_id].append(task_id)
            members[f"{attempts[-1].parent_id}/next"].append(task_id)
    for step in [step for step in plan.names if step in members and step not in plan.tasks]:
        del plan.names[step]
        before = plan.previous.pop(step, None)
        for member in members[step]:
            if before not in {None, member}:
                plan.previous.setdefault(member, str(before))
        for follower in [follower for follower, ahead in plan.previous.items() if ahead == step]:
            # What follows a group waits for all of it, exactly as the body of a chord does.
            del plan.previous[follower]
            plan.headers.setdefault(follower, list(members[step]))


def _resolve_chords(plan: _Plan) -> None:
    """A step that is a whole chord is planned under its body's id: the header comes between."""
    for body, header in plan.headers.items():
        before = plan.previous.get(body)
        for task_id in header:
            if before not in {None, task_id} and plan.tasks[task_id][-1].parent_id == before:
                plan.previous.setdefault(task_id, str(before))


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
        named = bool(attempts) or not task_id.endswith("/next")
        return Node(task_id, name, depth, self._relation(task_id), attempts, ahead, named)

    def _relation(self, task_id: str) -> Relation:
        if task_id in self._plan.headers:
            return Relation.CHORD
        if task_id in self._plan.previous:
            return Relation.CHAIN
        attempts = self._plan.tasks.get(task_id, ())
        if attempts and attempts[-1].root_id == task_id:
            return Relation.ROOT
        if self._homes.get(task_id) is not None:
            return Relation.CHILD
        parent = attempts[-1].parent_id if attempts else None
        return Relation.ORPHAN if parent else Relation.ROOT
