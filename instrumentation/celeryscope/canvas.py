"""What a canvas (chain, group, chord, callbacks) plans to run after a task, and where in it the task stands.

Pure functions, from Celery's own data to our message header and from the header to attributes. Celery says in a
message's body: ``chain`` (signatures of the steps to come, the next one last), ``chord`` (the signature that waits for
the task's group) and ``callbacks`` (``link``). It says nothing of sizes and positions, and nothing at all in headers.

A **plan** is the list of tasks still to come, ``[task id, name]`` or ``[task id, name, after]``. Entries are numbered
from 1; ``after`` is the number (or the numbers, as a list) of the entries that have to succeed first, 0 for the task
itself; without it, the entry before. An id is empty where Celery gives it only when the step is reached.

A **path** says where a task stands: its position in its chain, before it that of the chain's group in an outer chain,
and so on; a member of a group stands at position 0 of a chain of its own. In ``chain(a, group(b, chain(c, d)), e)``
the paths are a ``[0]``, b ``[1, 0]``, c ``[1, 0]``, d ``[1, 1]``, e ``[2]``. A chord is two steps, header and body.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from celeryscope import semconv

MOST_STEPS = 64
"""Entries of a plan; the header travels through the broker."""
MOST_MEMBERS = 16
"""Members of one group that are told one by one, so that a large group doesn't hide the steps after it."""
MOST_BYTES = 7_000
"""Of a plan as JSON."""
UNLOCK = "celery.chord_unlock"
"""Celery's own task that waits for a chord's header where the result backend can't tell when it is done."""

Entry = list[Any]


class Getter(Protocol):
    """What a message's headers, a request dict, an embed and a ``celery.app.task.Context`` have in common."""

    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of a key, or the default."""


@dataclass(slots=True)
class Group:
    """A group whose messages are being published."""

    group_id: str | None
    size: int | None
    """Members, those of nested groups included; None while a generator hasn't said."""
    outer: "Group | None" = None
    path: list[int] | None = None
    """Of the group itself; found when its first member is published."""


def additions(
    headers: Getter, body: Sequence[Any], request: Getter | None = None, group: Group | None = None
) -> dict[str, Any]:
    """What our header says of the canvas, for a message about to be published; nothing for a task on its own.

    ``request`` is the task that publishes it (None outside of a worker), ``group`` the group it is a member of.
    """
    embed = body[2]
    known = _header(request)
    if group is None and headers.get("task") != UNLOCK and not is_planned(embed) and not _in_canvas(request, known):
        return {}
    added = plan(embed)
    if root := known.get(semconv.HEADER_ROOT) or (None if request else _new_root(headers, body, group)):
        added[semconv.HEADER_ROOT] = root
    if size := _size(headers, request, known, group):
        added[semconv.HEADER_GROUP_SIZE] = size
    path = _path(headers, body, request, known, group)
    index, length = _position(path, embed)
    if length > 1:
        added[semconv.HEADER_POSITION] = [index, length]
    if any(path) or (len(path) > 1 and (length > 1 or headers.get("task") == UNLOCK)):
        added[semconv.HEADER_PATH] = path
    return added


def is_planned(embed: Getter) -> bool:
    """Whether Celery is to run anything after the task whose message has ``embed``."""
    return bool(embed.get("chain") or embed.get("chord") or embed.get("callbacks"))


def _in_canvas(request: Getter | None, known: Mapping[str, Any]) -> bool:
    """Whether what a task publishes may have a place in the canvas of the task."""
    if request is None:
        return False
    return bool(request.get("chain") or request.get("chord") or known.keys() & _HANDED_ON)


_HANDED_ON = {semconv.HEADER_ROOT, semconv.HEADER_GROUP_SIZE, semconv.HEADER_PATH}


def attributes(request: Getter, header: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a request's place in its canvas; ``header`` is ours, empty when the publisher had none."""
    planned = header if _KNOWN & header.keys() else plan(request)
    values: dict[str, Any] = {}
    index = request.get("group_index")
    # Celery also calls the body of a chord a member of its own header; but members have an index.
    if index is not None and (group_id := request.get("group")):
        values[semconv.GROUP_ID] = group_id
        values[semconv.GROUP_INDEX] = index
        values[semconv.GROUP_SIZE] = header.get(semconv.HEADER_GROUP_SIZE)
    if position := header.get(semconv.HEADER_POSITION):
        values[semconv.CHAIN_INDEX], values[semconv.CHAIN_LENGTH] = position
    if entries := planned.get(semconv.HEADER_PLAN):
        values[semconv.CHAIN_IDS] = [entry[0] for entry in entries]
        values[semconv.CHAIN_NAMES] = [entry[1] for entry in entries]
        if any(len(entry) > 2 for entry in entries):
            values[semconv.CHAIN_AFTER] = [_after_text(number, entry) for number, entry in enumerate(entries)]
        if chord := planned.get(semconv.HEADER_CHORD):
            values[semconv.CHORD_ID], values[semconv.CHORD_NAME] = entries[chord - 1][:2]
    return values


def _after_text(before: int, entry: Entry) -> str:
    after = entry[2] if len(entry) > 2 else before
    return ",".join(map(str, after)) if isinstance(after, list) else str(after)


_KNOWN = {semconv.HEADER_SENT_AT, semconv.HEADER_PLAN}
"""A header with one of these tells the plan, if there is one."""


def plan(embed: Getter) -> dict[str, Any]:
    """The header's ``plan`` and ``chord``: what Celery is to run after the task whose message has ``embed``."""
    if not is_planned(embed):
        return {}
    planner = _Planner()
    after = planner.continuation(embed.get("chain"), None, embed.get("callbacks"), (0,))
    chord = planner.next_number
    planner.continuation(None, embed.get("chord"), None, after)
    waits = bool(embed.get("chord")) and planner.next_number > chord
    return {semconv.HEADER_PLAN: planner.entries(), **({semconv.HEADER_CHORD: chord} if waits else {})}


class _Planner:
    """Walks through signatures; each method takes what has to be done first and returns what is then the last."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._numbers: dict[str, int] = {}
        self._bytes = 0
        self._left_out = 0

    @property
    def next_number(self) -> int:
        """Of the entry that comes next, if it finds room."""
        return len(self._entries) + 1

    def entries(self) -> list[Entry]:
        """All of the plan, the last entry saying how much is missing."""
        if self._left_out:
            self._entries.append(["", _more(self._left_out)])
        return self._entries

    def continuation(self, chain: Any, chord: Any, callbacks: Any, after: tuple[int, ...]) -> tuple[int, ...]:
        """What follows a task: callbacks, for which nothing waits, the steps of its chain, the body of its chord."""
        for callback in _sequence(callbacks):
            self.step(callback, after)
        for signature in reversed(_sequence(chain)):
            after = self.step(signature, after)
        return self.step(chord, after) if chord else after

    def step(self, signature: Any, after: tuple[int, ...], member: bool = False) -> tuple[int, ...]:
        """A signature of any kind. What waits for the group that a member belongs to is told after the group."""
        if not isinstance(signature, Mapping):
            return after
        kwargs, options = signature.get("kwargs") or {}, signature.get("options") or {}
        kind = _kind(signature)
        if kind == "chain":
            for task in _sequence(kwargs.get("tasks")):
                after = self.step(task, after, member)
        elif kind == "group":
            after = self._members(kwargs.get("tasks"), after)
        elif kind == "chord":
            after = self._members(kwargs.get("header"), after)
            after = self.step(kwargs.get("body"), after, member)
        else:
            after = (self._add(str(options.get("task_id") or ""), str(signature.get("task") or ""), after),)
        return self.continuation(
            options.get("chain"), None if member else options.get("chord"), options.get("link"), after
        )

    def _members(self, group: Any, after: tuple[int, ...]) -> tuple[int, ...]:
        tasks = members(group)
        ends = [end for task in tasks[:MOST_MEMBERS] for end in self.step(task, after, member=True)]
        if len(tasks) > MOST_MEMBERS:
            ends.append(self._add("", _more(len(tasks) - MOST_MEMBERS), after))
        return tuple(dict.fromkeys(ends)) or after

    def _add(self, task_id: str, name: str, after: tuple[int, ...]) -> int:
        """The number of the entry; a task that is planned in two places is one entry."""
        if task_id in self._numbers:
            return self._numbers[task_id]
        number = self.next_number
        entry: Entry = [task_id, name]
        if after != (number - 1,):
            entry.append(list(after) if len(after) > 1 else after[0])
        size = len(json.dumps(entry)) + 2
        if self._left_out or number > MOST_STEPS or self._bytes + size > MOST_BYTES:
            self._left_out += 1
            return len(self._entries)
        self._bytes += size
        self._entries.append(entry)
        if task_id:
            self._numbers[task_id] = number
        return number


def members(group: Any) -> list[Any]:
    """The signatures of a group (or of a chord's header, which may be a plain list), nested groups' in their place."""
    tasks = (group.get("kwargs") or {}).get("tasks") if isinstance(group, Mapping) else group
    return [
        inner
        for task in _sequence(tasks)
        for inner in (members(task) if isinstance(task, Mapping) and _kind(task) == "group" else [task])
    ]


def _position(path: list[int], embed: Getter) -> tuple[int, int]:
    """(position in the innermost chain that has more than this step, length of that chain as far as it is known)."""
    chain, chord = embed.get("chain"), embed.get("chord")
    if chain or path[-1] or len(path) == 1:
        return path[-1], path[-1] + 1 + sum(_steps(signature) for signature in _sequence(chain))
    return path[-2], path[-2] + 1 + (_steps(chord) if chord else 0)


def _steps(signature: Any) -> int:
    """How many steps of a chain a signature is, with what its own options add to the chain."""
    if not isinstance(signature, Mapping):
        return 0
    kwargs, kind = signature.get("kwargs") or {}, _kind(signature)
    own = 1
    if kind == "chain":
        own = sum(_steps(task) for task in _sequence(kwargs.get("tasks")))
    elif kind == "chord":
        own = 1 + _steps(kwargs.get("body"))
    return own + sum(_steps(step) for step in _sequence((signature.get("options") or {}).get("chain")))


def _path(
    headers: Getter, body: Sequence[Any], request: Getter | None, known: Mapping[str, Any], group: Group | None
) -> list[int]:
    if group is not None:
        return [*_path_of_group(headers, group, request, known), 0]
    if headers.get("task") == UNLOCK and (waiting := _unlocked(body)):
        return [*(_following(waiting[0], request, known) or [0]), 0]
    if request is not None and _continues(headers, request):
        return _own_path(known)
    return _following(headers.get("id"), request, known) or [0]


def _path_of_group(headers: Getter, group: Group, request: Getter | None, known: Mapping[str, Any]) -> list[int]:
    if group.path is None:
        if group.outer is not None:
            # The header of a chord that is itself a member of a group.
            group.path = [*_path_of_group(headers, group.outer, request, known), 0]
        elif request is not None and _replaces(headers, request):
            group.path = _own_path(known)
        else:
            group.path = _following(group.group_id, request, known) or [0]
    return group.path


def _continues(headers: Getter, request: Getter) -> bool:
    """Whether the message is a retry of the task that publishes it, or its replacement."""
    return headers.get("id") == request.get("id") or _replaces(headers, request)


def _replaces(headers: Getter, request: Getter) -> bool:
    return (headers.get("replaced_task_nesting") or 0) == (request.get("replaced_task_nesting") or 0) + 1


def _following(first_id: Any, request: Getter | None, known: Mapping[str, Any]) -> list[int] | None:
    """The path of what begins with the id, when it is the next step or the body of the chord of the request."""
    if request is None or not first_id:
        return None
    path = _own_path(known)
    chain = _sequence(request.get("chain"))
    if chain and _first_id(chain[-1]) == first_id:
        return [*path[:-1], path[-1] + 1]
    if len(path) > 1 and _first_id(_body_of(request)) == first_id:
        return [*path[:-2], path[-2] + 1]
    return None


def _body_of(request: Getter) -> Any:
    """The signature that waits for the request's group."""
    if chord := request.get("chord"):
        return chord
    if request.get("task") == UNLOCK:
        waiting = _unlocked((request.get("args"),))
        return waiting[1] if waiting else None
    return None


def _unlocked(body: Sequence[Any]) -> Sequence[Any] | None:
    """The arguments of ``chord_unlock``: the header's group id, the chord's body."""
    arguments = body[0]
    return arguments if isinstance(arguments, list | tuple) and len(arguments) > 1 else None


def _first_id(signature: Any) -> str | None:
    """The id of the task or group with which a signature begins."""
    while isinstance(signature, Mapping):
        kwargs, kind = signature.get("kwargs") or {}, _kind(signature)
        if kind == "chain":
            signature = next(iter(_sequence(kwargs.get("tasks"))), None)
            continue
        found = (signature.get("options") or {}).get("task_id")
        header = kwargs.get("header")
        if kind == "chord" and isinstance(header, Mapping):
            found = (header.get("options") or {}).get("task_id") or found
        return str(found) if found else None
    return None


def _own_path(known: Mapping[str, Any]) -> list[int]:
    path = known.get(semconv.HEADER_PATH)
    return path if isinstance(path, list) and path else [0]


def _size(headers: Getter, request: Getter | None, known: Mapping[str, Any], group: Group | None) -> int | None:
    """Size of the group that the message belongs to; the steps of a member's chain hand it on to the last of them."""
    if group is not None and headers.get("group") in {None, group.group_id}:
        return group.size
    handed_on = request is not None and (_continues(headers, request) or _is_next(headers, request))
    return known.get(semconv.HEADER_GROUP_SIZE) if handed_on else None


def _is_next(headers: Getter, request: Getter) -> bool:
    chain = _sequence(request.get("chain"))
    return bool(chain) and _first_id(chain[-1]) in {headers.get("id"), headers.get("group")} - {None}


def _new_root(headers: Getter, body: Sequence[Any], group: Group | None) -> str | None:
    """The root of a group that is published outside of a worker: Celery makes each member the root of its own."""
    if headers.get("root_id") not in {None, headers.get("id")}:
        return None
    if headers.get("task") == UNLOCK and (waiting := _unlocked(body)):
        return str(waiting[0])
    while group is not None and group.outer is not None:
        group = group.outer
    return group.group_id if group is not None else None


def _header(request: Getter | None) -> Mapping[str, Any]:
    header = request.get(semconv.HEADER) if request is not None else None
    return header if isinstance(header, Mapping) else {}


def _kind(signature: Mapping[str, Any]) -> str | None:
    kind = signature.get("subtask_type")
    return kind if isinstance(kind, str) else None


def _sequence(value: Any) -> Sequence[Any]:
    """A list of signatures; Celery also takes one without its list."""
    if isinstance(value, list | tuple):
        return value
    return [value] if isinstance(value, Mapping) else list(value) if isinstance(value, Iterable) else ()


def _more(count: int) -> str:
    return f"({count} more)"
