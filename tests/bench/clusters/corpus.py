"""The corpus: a file of ``corpus/`` is a group, all that a backend engineer would want in one cluster, and says why.

application: payments
why: one sentence
excluded: why no score should count it          (only where engineers would disagree)
members:
- differs: [ids, refactored]                    (from the group's baseline; one of DIFFERENCES each)
  setting: docker312+sentry                     (recording/deployments.py)
  made: raised by 3.11, shown as 3.12 does      (how the text came about)
  kind, task, type, message, stacktrace         (what celeryscope stores of a failure)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from celeryscope import semconv

FOLDER = Path(__file__).parent / "corpus"
KINDS = {
    semconv.KIND_EXCEPTION,
    semconv.KIND_SOFT_TIME_LIMIT,
    semconv.KIND_TIME_LIMIT,
    semconv.KIND_WORKER_LOST,
    semconv.KIND_OUT_OF_MEMORY,
    semconv.KIND_TERMINATED,
    semconv.KIND_UNREGISTERED,
    semconv.KIND_REJECTED,
}
DIFFERENCES = {
    "baseline": "what the others differ from",
    "ids": "identifiers in the message",
    "values": "other data in arguments and message",
    "language": "the message is in another language",
    "refactored": "other lines, variables, statements",
    "moved": "another module",
    "renamed": "a function of another name, or a part of it made a function of its own",
    "wrapper": "a decorator around a function",
    "call-path": "another way to the same place",
    "place": "interrupted at another place",
    "retried": "an attempt that is retried",
    "last-attempt": "the last attempt of several",
    "eager": "run within the publisher",
    "instrumented": "another instrumentation's frames between Celery's and the application's",
    "library": "another version of a library or driver",
    "message-of-library": "a library words its message differently",
    "python": "another version of Python",
    "message-of-python": "Python words its message differently",
    "path": "another folder on the machine",
    "packaging": "installed as a package, egg, zip, pex or from nix",
    "sourceless": "no source on the machine",
    "cut": "the middle of the text is cut out",
}
_FIELDS = ("differs", "setting", "made", "kind", "task", "type", "message", "stacktrace")


class CorpusError(Exception):
    """A file of the corpus is not as it should be; says which and what."""


@dataclass(frozen=True)
class Failure:
    """A member of a group, by the fields of the file."""

    group: str
    differs: tuple[str, ...]
    setting: str
    made: str
    kind: str
    task: str
    type: str
    message: str
    stacktrace: str

    @property
    def text(self) -> tuple[str, ...]:
        """All that a fingerprint may look at."""
        return self.kind, self.task, self.type, self.message, self.stacktrace


@dataclass(frozen=True)
class Group:
    """One bug in a person's judgement; ``excluded`` says why no score counts it, or is empty."""

    name: str
    why: str
    excluded: str
    failures: tuple[Failure, ...]


def load(folder: Path = FOLDER) -> list[Group]:
    """All groups, by name. Raises CorpusError."""
    return [_group(path) for path in sorted(folder.glob("*.yaml"))]


def scored(groups: list[Group]) -> Iterator[Failure]:
    """The failures of all groups that a score counts."""
    for group in groups:
        if not group.excluded:
            yield from group.failures


def _group(path: Path) -> Group:
    # The loader in C where PyYAML has one: the whole corpus is a megabyte.
    document = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(document, dict) or not document.get("why") or not document.get("members"):
        raise CorpusError(f"{path.name}: a group has a `why` and `members`.")
    failures = tuple(_failure(path.stem, number, member) for number, member in enumerate(document["members"], 1))
    return Group(path.stem, document["why"], document.get("excluded", ""), failures)


def _failure(group: str, number: int, member: dict[str, Any]) -> Failure:
    where = f"{group}.yaml, member {number}"
    if set(member) != set(_FIELDS):
        raise CorpusError(f"{where}: has {sorted(member)}, but a member has exactly {list(_FIELDS)}.")
    if unknown := set(member["differs"]) - set(DIFFERENCES):
        raise CorpusError(f"{where}: unknown difference {sorted(unknown)}; they are {sorted(DIFFERENCES)}.")
    if member["kind"] not in KINDS:
        raise CorpusError(f"{where}: unknown kind {member['kind']}.")
    texts = {name: member[name] for name in _FIELDS if name != "differs"}
    if wrong := [name for name, value in texts.items() if not isinstance(value, str)]:
        raise CorpusError(f"{where}: {wrong} must be text; put it in quotes.")
    return Failure(group=group, differs=tuple(member["differs"]), **texts)
