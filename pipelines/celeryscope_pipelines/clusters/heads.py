"""Which cluster speaks for which: people merge clusters by pointing one to another (``celery.failure.merged_into``).

The pointer of the member is all there is, so that to merge and to split is one write each, which happens or doesn't.
"""

from collections.abc import Collection, Mapping

Pointers = Mapping[str, str]
"""A member to the cluster that it was merged into."""


def head_of(name: str, pointers: Pointers) -> str:
    """The cluster at the end of the pointers.

    Two people may at the same moment merge two clusters into each other; then the first of the circle by name is head.
    """
    path: list[str] = []
    while name in pointers and name not in path:
        path.append(name)
        name = pointers[name]
    return min(path[path.index(name) :]) if name in path else name


def members(pointers: Pointers, existing: Collection[str]) -> dict[str, list[str]]:
    """Heads that have members, each with these; a pointer to what doesn't exist (any more) counts for nothing."""
    sound = {name: target for name, target in pointers.items() if target in existing}
    found: dict[str, list[str]] = {}
    for name in sorted(sound):
        if (head := head_of(name, sound)) != name:
            found.setdefault(head, []).append(name)
    return found
