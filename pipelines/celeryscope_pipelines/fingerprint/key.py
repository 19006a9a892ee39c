"""The fingerprint, version 1: what makes two failures the same.

- For every exception of the chain: its type, and the places (module and function, never line numbers) where the
  application's code ran. Frames of Celery, kombu, billiard, the standard library and installed packages are left out.
  A message counts only where there is no stack.
- A group counts as the set of its distinct members. ``Retry``, which Celery wraps around an exception to try again,
  does not count, so that an attempt which is retried and the last one, which fails, are of one cluster.
- Without a frame of the application the task's name counts, and the places of the libraries (of Celery, if there are no
  others).
- Without a stack: type, parameterised message and task.
- Lost workers, terminations, unregistered tasks and time limits: kind and task. That includes the soft limit, although
  it has a stack: which line a limit strikes is chance.

The coarse key joins clusters that differ in their call path only: type and culprit.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from celeryscope import semconv
from celeryscope_pipelines.fingerprint.message import one_line, parameterised
from celeryscope_pipelines.fingerprint.places import is_application, is_not_celerys, place
from celeryscope_pipelines.fingerprint.traceback import Frame, Link, parse

VERSION: Final = 1
_TITLE_MOST: Final = 200
_CACHED_MOST: Final = 64 * 1024
"""Characters; longer stacks are read anew each time, so that the cache stays small."""
_BY_KIND: Final = frozenset(
    {
        semconv.KIND_WORKER_LOST,
        semconv.KIND_OUT_OF_MEMORY,
        semconv.KIND_TIME_LIMIT,
        semconv.KIND_SOFT_TIME_LIMIT,
        semconv.KIND_TERMINATED,
        semconv.KIND_UNREGISTERED,
    }
)
_RETRY: Final = "celery.exceptions.Retry"
_COMPREHENSIONS: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
"""Frames of their own up to Python 3.11 only; the function around them has one too."""

Keep = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A failure's place among the clusters; keys are 32 hexadecimal digits, the title one line of at most 200."""

    key: str
    coarse_key: str
    title: str
    culprit: str


@dataclass(frozen=True, slots=True)
class _Stack:
    """What a stacktrace's text says; ``places`` is empty when it has no frames."""

    type: str
    message: str
    places: tuple[str, ...]
    causes: tuple[str, ...]
    culprit: str
    in_application: bool


def fingerprint_of(*, kind: str, task: str, exception_type: str, message: str, stacktrace: str) -> Fingerprint:
    """The fingerprint of a failure of ``kind`` (``celery.failure_kind``); any of the texts may be empty."""
    stack = _read(stacktrace) if len(stacktrace) <= _CACHED_MOST else _read.__wrapped__(stacktrace)
    kept = exception_type if exception_type != _RETRY else ""
    named, said = kept or stack.type or exception_type, message or stack.message
    title = _title(named, said)
    if kind in _BY_KIND:
        key = _digest("kind", kind, task)
        return Fingerprint(key, key, title, task)
    culprit = stack.culprit or task
    if not stack.places:
        key = _digest("message", named, parameterised(said), task, kind, *stack.causes)
        return Fingerprint(key, key, title, culprit)
    place_of_task = () if stack.in_application else (f"task {task}",)
    return Fingerprint(
        key=_digest("stack", *place_of_task, *stack.places),
        coarse_key=_digest("coarse", named, culprit, *place_of_task),
        title=title,
        culprit=culprit,
    )


@lru_cache(maxsize=256)
def _read(stacktrace: str) -> _Stack:
    chain = parse(stacktrace)
    chain = [link for link in chain if link.type != _RETRY] or chain
    if not chain:
        return _Stack("", "", (), (), "", in_application=False)
    keep = _kept(chain)
    has_stack = any(True for _ in _frames(chain))
    return _Stack(
        type=chain[-1].type,
        message=chain[-1].message,
        places=tuple(_parts(chain, keep)) if has_stack else (),
        causes=tuple(link.type for link in chain[:-1]),
        culprit="" if keep is _any else _culprit(chain, keep),
        in_application=keep is is_application,
    )


def _kept(chain: list[Link]) -> Keep:
    """Which frames count: the application's; without one, the libraries'; without those, all."""
    for keep in (is_application, is_not_celerys):
        if any(keep(frame.path) for frame in _frames(chain)):
            return keep
    return _any


def _any(_path: str) -> bool:
    return True


def _frames(chain: list[Link]) -> Iterator[Frame]:
    for link in chain:
        yield from link.frames
        for member in link.members:
            yield from _frames(member)


def _parts(chain: list[Link], keep: Keep) -> list[str]:
    """What the key is made of: each exception's type, its places, its members as a set."""
    parts: list[str] = []
    for link in chain:
        parts.append(f"type {link.type}")
        parts += _places(link, keep)
        parts += sorted({_digest("member", *_parts(member, keep)) for member in link.members})
    return parts


def _places(link: Link, keep: Keep) -> list[str]:
    """The places of an exception, each one once, the last being where it was raised.

    How deep a recursion went makes no other failure, nor does the place in its cycle where the limit struck.
    """
    found = [place(frame) for frame in link.frames if frame.name not in _COMPREHENSIONS and keep(frame.path)]
    if link.type == "RecursionError":
        times = Counter(found)  # in the order of first appearance
        return [name for name, count in times.items() if count > 1] or list(times)
    return list(dict.fromkeys(reversed(found)))[::-1]


def _culprit(chain: list[Link], keep: Keep) -> str:
    """Where the last exception that has a place was raised."""
    for link in reversed(chain):
        if places := _places(link, keep):
            return places[-1]
        if within := [found for member in link.members if (found := _culprit(member, keep))]:
            return min(within)
    return ""


def _title(exception_type: str, message: str) -> str:
    first = parameterised(one_line(message))
    text = one_line(exception_type) or "Unknown failure"
    text = f"{text}: {first}" if first else text
    return text if len(text) <= _TITLE_MOST else text[: _TITLE_MOST - 1] + "…"


def _digest(*parts: str) -> str:
    text = "\x1f".join(parts).encode(errors="replace")
    return hashlib.blake2b(text, digest_size=16, person=b"celeryscope-v1").hexdigest()
