"""Which exception of a chain made the failure, and where in the application it was raised."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from celeryscope_pipelines.fingerprint.model import Frame, Link
from celeryscope_pipelines.fingerprint.places import place
from celeryscope_pipelines.fingerprint.title import short_type

Keep: TypeAlias = Callable[[str], bool]
"""Whether the frames of a path count."""

_ANONYMOUS: Final = frozenset({"<lambda>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
"""Code without a name of its own; comprehensions have frames up to Python 3.11 only."""
_DECORATORS: Final = frozenset(
    [
        "async_wrapper",
        "decorated",
        "decorator",
        "func_wrapper",
        "inner",
        "inner_func",
        "inner_wrapper",
        "sync_wrapper",
        "wrap",
        "wrapped",
        "wrapped_f",
        "wrapped_function",
        "wrapper",
        "wrapper_func",
        "_decorated",
        "_inner",
        "_wrap",
        "_wrapped",
        "_wrapper",
    ]
)
"""Names that a decorator's function has whatever it decorates."""
_AGAIN: Final = frozenset({"MaxRetriesExceededError", "Retry", "RetryError"})
"""What says only that something was tried again; what it was is the exception before."""


def culpable(chain: list[Link], keep: Keep) -> Link:
    """The exception that failures are compared by: the first one that led to the last, and has frames that count.

    An exception leads to the next one when that was raised from it, or from its ``except`` clause on purpose. One that
    was merely being handled when something else went wrong does not.
    """
    number = len(chain) - 1
    found = chain[number]
    while number and _leads(chain[number - 1], chain[number]):
        number -= 1
        if _has_place(chain[number], keep):
            found = chain[number]
    return found


def _leads(earlier: Link, later: Link) -> bool:
    if later.relation != "context" or short_type(later.type) in _AGAIN:
        return bool(later.relation)
    if not earlier.frames or not later.frames:
        return False
    raised, handled = later.frames[-1], earlier.frames[0]
    in_the_handler = (raised.path, raised.name) == (handled.path, handled.name)
    return in_the_handler and (raised.source.startswith("raise") if raised.source else "." in later.type)


def _has_place(link: Link, keep: Keep) -> bool:
    return any(keep(frame.path) for frame in link.frames) or any(
        _has_place(part, keep) for member in link.members for part in member
    )


def frames(chain: list[Link]) -> Iterator[Frame]:
    """Those of all exceptions, of a group's members too."""
    for link in chain:
        yield from link.frames
        for member in link.members:
            yield from frames(member)


def where(link: Link, keep: Keep) -> tuple[str, ...]:
    """The place where the exception was raised; empty when no frame counts.

    The function that has a name: neither a lambda in it nor, alone, what a decorator has put around it. How deep a
    recursion went makes no other failure, nor does the place in its cycle where the limit struck.
    """
    if link.type == "RecursionError":
        return tuple(sorted(cycle(link, keep)))
    raised = raised_in(link, keep)
    if raised is None:
        return ()
    if raised.name not in _DECORATORS:
        return (place(raised),)
    above = (frame for frame in reversed(link.frames) if keep(frame.path) and not _is_generated(frame))
    return (place(raised), *(place(frame) for frame in list(above)[:1]))


def raised_in(link: Link, keep: Keep) -> Frame | None:
    """The innermost frame that counts and has a name, else the innermost that counts."""
    innermost = None
    for frame in reversed(link.frames):
        if keep(frame.path):
            if frame.name not in _ANONYMOUS:
                return frame
            innermost = innermost or frame
    return innermost


def _is_generated(frame: Frame) -> bool:
    return frame.name in _ANONYMOUS or frame.name in _DECORATORS


def cycle(link: Link, keep: Keep) -> list[str]:
    """The places that the stack comes back to, in the order of their first appearance; all, when there is no cycle."""
    times: Counter[str] = Counter()
    for frame in link.frames:
        if frame.name not in _ANONYMOUS and keep(frame.path):
            times[place(frame)] += 1 + frame.repeated
    return [name for name, count in times.items() if count > 1] or list(times)


def path(link: Link, keep: Keep) -> list[str]:
    """All places of the exception, each one once, the last being where it was raised."""
    if link.type == "RecursionError":
        return cycle(link, keep)
    found = [place(frame) for frame in link.frames if frame.name not in _ANONYMOUS and keep(frame.path)]
    return list(dict.fromkeys(reversed(found)))[::-1]


def culprit(chain: list[Link], keep: Keep) -> Frame | None:
    """The frame where the last exception that has one was raised."""
    for link in reversed(chain):
        if (raised := raised_in(link, keep)) is not None:
            if link.type != "RecursionError":
                return raised
            last = cycle(link, keep)[-1:]
            return next((frame for frame in reversed(link.frames) if [place(frame)] == last), raised)
        if within := [found for member in link.members if (found := culprit(member, keep)) is not None]:
            return min(within, key=place)
    return None
