"""A stacktrace's text as what fingerprints are made of; what was read last is remembered."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from celeryscope_pipelines.fingerprint.chain import Keep, culpable, culprit, frames, path, where
from celeryscope_pipelines.fingerprint.model import Frame, Link
from celeryscope_pipelines.fingerprint.places import InApp, is_application, is_not_celerys
from celeryscope_pipelines.fingerprint.plain import plain
from celeryscope_pipelines.fingerprint.title import short_type
from celeryscope_pipelines.fingerprint.traceback import parse
from celeryscope_pipelines.fingerprint.wording import is_its_own, template

RETRY: Final = "celery.exceptions.Retry"
_NO_EXCEPTION: Final = "NoneType"
"""What Python writes when it is asked for the traceback while nothing is being handled."""
_CACHED_MOST: Final = 64 * 1024
"""Characters; longer stacks are read anew each time, so that the cache stays small."""
_GENERIC: Final = frozenset({"Error", "Exception", "Failure", "error", "timeout"})
"""Names that say nothing without their module."""
_ALIASES: Final = {"socket.timeout": "TimeoutError", "IOError": "OSError", "EnvironmentError": "OSError"}
_NUMBER: Final = re.compile(r"\d[0-9a-f]{5,}|(?<!\d)(?![45]\d\d(?!\d))\d+")
"""Not that of an HTTP status."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the exception that made the failure is compared by."""

    type: str
    """As ``own_name`` has it."""
    message: str
    places: tuple[str, ...]
    """Where the application raised it; empty without a frame of the application."""
    members: tuple[str, ...]
    """Digests of a group's distinct members."""
    code: str
    """The application's source lines that the text has."""
    raised: str
    """The line that raised it, if that is the application's."""
    in_library: bool
    """Whether something else than the application's own ``raise`` raised it."""

    def where(self, says: str) -> tuple[str, ...]:
        """The places that count: without the function where the application itself has written the message, ``says``.

        So many words are found at one place of a module, whatever the function around it is called today.
        """
        if not self.raised.startswith("raise ") or self.members or not is_its_own(says):
            return self.places
        return tuple(name.partition(" in ")[0] for name in self.places)

    def says(self, exception_type: str, message: str) -> str:
        """What its message says; of a group, its members say it."""
        if self.members:
            return ""
        return template(exception_type, message, code=self.code, raised=self.raised, in_library=self.in_library)


@dataclass(frozen=True, slots=True)
class Stack:
    """What a stacktrace's text says."""

    chain: list[Link]
    """Without Celery's ``Retry`` around what is tried again."""
    last: Link
    root: Link
    """The first of the chain; both are without a type where the text is no traceback."""
    made: Made
    made_last: bool
    """Whether the last exception is the one that made the failure."""
    way: tuple[str, ...]
    """Types and places of the whole chain."""
    culprit: Frame | None
    root_culprit: Frame | None


_NOTHING: Final = Stack([], Link(), Link(), Made("", "", (), (), "", "", in_library=False), True, (), None, None)


def read(stacktrace: str, package: str, in_app: InApp) -> Stack:
    """What the text says to an application whose own code is in ``package``, wherever that is installed."""
    return (_read if len(stacktrace) <= _CACHED_MOST else _read.__wrapped__)(stacktrace, package, in_app)


@lru_cache(maxsize=256)
def _read(stacktrace: str, package: str, in_app: InApp) -> Stack:
    chain = parse(plain(stacktrace))
    chain = [link for link in chain if link.type != RETRY] or chain
    chain = [link for link in chain if link.type != _NO_EXCEPTION]
    if not chain:
        return _NOTHING

    of_frames = {frame.path for frame in frames(chain)}
    ours = {file for file in of_frames if is_application(file, package, in_app)}.__contains__

    made = culpable(chain, ours)
    keep = _kept(chain, ours)
    return Stack(
        chain=chain,
        last=chain[-1],
        root=chain[0],
        made=_made(made, ours),
        made_last=made is chain[-1],
        way=tuple(_way(chain, keep)),
        culprit=None if keep is _any else culprit(chain, keep),
        root_culprit=None if keep is _any else culprit(chain[:1], keep),
    )


def _made(link: Link, keep: Keep) -> Made:
    members = {digest("member", *_parts(_made(culpable(member, keep), keep))) for member in link.members}
    code = " ".join(frame.source for frame in link.frames if frame.source and keep(frame.path))
    innermost = link.frames[-1] if link.frames else None
    raised = innermost.source if innermost is not None and keep(innermost.path) else ""
    # A library's code has no frames where it is no Python, or where they were cut off.
    in_library = (
        innermost is not None and not raised.startswith("raise") and bool(innermost.source or not keep(innermost.path))
    )
    return Made(own_name(link.type), link.message, where(link, keep), tuple(sorted(members)), code, raised, in_library)


def _parts(made: Made) -> tuple[str, ...]:
    says = made.says(made.type, made.message)
    return (made.type, *made.where(says), says, *made.members)


def _kept(chain: list[Link], ours: Keep) -> Keep:
    """Which frames the way is made of: the application's; without one, the libraries'; without those, all."""
    for keep in (ours, is_not_celerys):
        if any(keep(frame.path) for frame in frames(chain)):
            return keep
    return _any


def _any(_path: str) -> bool:
    return True


def _way(chain: list[Link], keep: Keep) -> list[str]:
    """Each exception's type, its places, its members as a set."""
    parts: list[str] = []
    for link in chain:
        parts += [f"type {own_name(link.type)}", *path(link, keep)]
        parts += sorted({digest("member", *_way(member, keep)) for member in link.members})
    return parts


@lru_cache(maxsize=4096)
def own_name(exception_type: str) -> str:
    """The type's own name, one for all that are one, and without the number of a class made at run time."""
    alias = _ALIASES.get(exception_type)
    if alias is not None:
        return alias
    name = short_type(exception_type)
    if name in _GENERIC:
        name = ".".join(exception_type.split(".")[-2:])
    return _NUMBER.sub("n", name)


def digest(*parts: str) -> str:
    """32 hexadecimal digits for the parts, whatever characters they have."""
    text = "\x1f".join(parts).encode(errors="replace")
    return hashlib.blake2b(text, digest_size=16, person=b"celeryscope-v2").hexdigest()
