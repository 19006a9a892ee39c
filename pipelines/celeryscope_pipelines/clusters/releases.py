"""Which release is later: told by version numbers where both have them, else by which ran when a person looked."""

import re
from collections.abc import Collection
from typing import Final

_VERSION: Final = re.compile(
    r"[a-z]*[-_/]?v?(?P<numbers>\d+(?:[.\-_]\d+)*)(?:[-._+]?(?P<before>a|alpha|b|beta|c|rc|pre|dev|snapshot)[-._]?(?P<nth>\d*))?"
    r"(?:[+][\w.\-]*)?",
    re.IGNORECASE,
)
"""``1.4.2``, ``v2``, ``shop-1.4``, ``2026.11.21-3``, ``1.4.2rc1``, ``1.4.2+build.7``; the name of a commit is none."""
_COMMIT: Final = re.compile(r"(?=.*[a-f])(?=.*\d)[0-9a-f]{7,}")
_LONGEST: Final = 200
"""Characters of a version; Python refuses to read numbers of thousands of digits."""

_Order = tuple[tuple[int, ...], bool, int]


def is_later(release: str, old: Collection[str], remedy: str | None, *, in_order: bool = True) -> bool:
    """Whether a failure in the release comes after the remedy.

    ``old`` are the releases that ran when somebody resolved the cluster; ``remedy`` is the first one without the
    failure, if it was named. Versions compare by their numbers. Names without an order (commits) are later when they
    are not among the old ones; so is any name without ``in_order``, when the releases are not all of one service.
    """
    if remedy:
        if release == remedy:
            return True
        mine, its = _order(release), _order(remedy)
        if in_order and mine and its:
            return mine > its
        return release not in old
    if release in old or not in_order:
        return release not in old
    mine, theirs = _order(release), [order for name in old if (order := _order(name))]
    return not (mine and theirs) or mine > max(theirs)


def _order(release: str) -> _Order | None:
    """What versions compare by; None for what is no version."""
    found = _VERSION.fullmatch(release) if len(release) <= _LONGEST else None
    if not found or _COMMIT.fullmatch(release):
        return None
    numbers = [int(part) for part in re.split(r"[.\-_]", found["numbers"])]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), found["before"] is None, int(found["nth"] or 0)
