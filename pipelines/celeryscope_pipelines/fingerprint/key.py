"""The fingerprint, version 1: what makes two failures the same.

For every exception of the chain, its type and the frames of the application (module and qualified name, never line
numbers); the frames of Celery, kombu, billiard, the standard library and site-packages are left out, unless there are no
others. A group counts as the set of its distinct members. The message, parameterised, counts only when there is no
stack. What has no stack of its own (a killed process, a time limit) is keyed by its kind and task. The coarse key joins
clusters that differ in their call path only: type and innermost frame of the application.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from celeryscope import semconv
from celeryscope_pipelines.fingerprint.traceback import Frame, Link, parse

VERSION: Final = 1
_TITLE_MOST: Final = 200
_BY_KIND: Final = frozenset(
    {
        semconv.KIND_WORKER_LOST,
        semconv.KIND_TIME_LIMIT,
        semconv.KIND_TERMINATED,
        semconv.KIND_UNREGISTERED,
    }
)
_FOREIGN: Final = re.compile(
    r"[/\\](?:site-packages|dist-packages)[/\\]|[/\\]lib(?:64)?[/\\]python3(?:\.\d+)?[/\\]|^<frozen |"
    r"(?:^|[/\\])(?:celery|kombu|billiard)[/\\]"
)
_PARAMETERS: Final = (
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "<uuid>"),
    (re.compile(r"0x[0-9a-fA-F]+"), "<hex>"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "<text>"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{12,}\b"), "<hex>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A failure's place among the clusters; keys are 32 hexadecimal digits."""

    key: str
    coarse_key: str
    title: str
    culprit: str


def fingerprint_of(*, kind: str, task: str, exception_type: str, message: str, stacktrace: str) -> Fingerprint:
    """The fingerprint of a failure of ``kind`` (``celery.failure_kind``); any of the texts may be empty."""
    title = _title(exception_type, message)
    if kind in _BY_KIND:
        key = _digest("kind", kind, task)
        return Fingerprint(key, key, title, task)
    chain = parse(stacktrace)
    frames = _innermost(chain)
    culprit = _place(frames[-1]) if frames else task
    if not any(link.frames or link.members for link in chain):
        key = _digest("message", exception_type, parameterised(message), task)
        return Fingerprint(key, key, title, culprit)
    return Fingerprint(
        key=_digest("chain", *_parts(chain)),
        coarse_key=_digest("coarse", exception_type or chain[-1].type, culprit),
        title=title,
        culprit=culprit,
    )


def parameterised(message: str) -> str:
    """The message with ids, numbers and quoted texts replaced by their kind."""
    for pattern, name in _PARAMETERS:
        message = pattern.sub(name, message)
    return message


def _title(exception_type: str, message: str) -> str:
    first = next((line.strip() for line in message.splitlines() if line.strip()), "")
    text = f"{exception_type or 'Unknown failure'}: {parameterised(first)}" if first else exception_type
    text = text or "Unknown failure"
    return text if len(text) <= _TITLE_MOST else text[: _TITLE_MOST - 1] + "…"


def _parts(chain: list[Link]) -> list[str]:
    """The lines that the key is made of: an exception's type, its frames, its members as a set."""
    parts: list[str] = []
    for link in chain:
        parts.append(f"type {link.type}")
        parts += [f"frame {_place(frame)}" for frame in _deduplicated(_own(link.frames))]
        parts += sorted({_digest("member", *_parts(member)) for member in link.members})
    return parts


def _own(frames: list[Frame]) -> list[Frame]:
    """The application's frames; all of them when none is its."""
    own = [frame for frame in frames if not _FOREIGN.search(frame.path)]
    return own or frames


def _deduplicated(frames: list[Frame]) -> list[Frame]:
    """Without repetitions one after the other: how deep a recursion went makes no other failure."""
    return [frame for number, frame in enumerate(frames) if number == 0 or frame != frames[number - 1]]


def _innermost(chain: list[Link]) -> list[Frame]:
    """The frames to look for the culprit in: the application's of the last exception that has any."""
    for link in reversed(chain):
        if own := [frame for frame in link.frames if not _FOREIGN.search(frame.path)]:
            return own
        for member in link.members:
            if found := _innermost(member):
                return found
    return next((link.frames for link in reversed(chain) if link.frames), [])


def _place(frame: Frame) -> str:
    return f"{_module(frame.path)} in {frame.name}"


def _module(path: str) -> str:
    """The last two parts of the path, as a module: independent of where a release is deployed."""
    parts = [part for part in re.split(r"[/\\]", path) if part]
    if not parts:
        return path
    parts[-1] = parts[-1].removesuffix(".py")
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    if len(parts) > 1 and re.fullmatch(r"[A-Za-z_]\w*", parts[-2]):
        return ".".join(parts[-2:])
    return parts[-1]


def _digest(*parts: str) -> str:
    return hashlib.blake2b(
        "\n".join(parts).encode(errors="replace"), digest_size=16, person=b"celeryscope-v1"
    ).hexdigest()
