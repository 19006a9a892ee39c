"""What must become of a published workflow. Pure data: whoever checks it needs no Celery."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Attempts:
    """So many attempts of a task, with this retry number, that end in this state."""

    task: str
    state: str
    retries: int = 0
    count: int = 1


@dataclass(frozen=True)
class Failure:
    """The exception of a failed attempt; `message` is a part of it, `stacktrace` are parts of the trace, in order."""

    task: str
    type: str
    message: str
    stacktrace: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Expected:
    """All attempts under one root id, the failure if there is one, and the steps that are planned and never run."""

    scenario: str
    root_id: str
    attempts: list[Attempts]
    failure: Failure | None = None
    never_reached: list[str] = field(default_factory=list)


def dumps(expected: Iterable[Expected]) -> str:
    """One JSON array."""
    return json.dumps([asdict(item) for item in expected], indent=1)


def loads(text: str) -> list[Expected]:
    """The inverse of `dumps`; ValueError, KeyError or TypeError when it is something else."""
    return [_expected(item) for item in json.loads(text)]


def _expected(item: dict[str, Any]) -> Expected:
    failure = item["failure"]
    return Expected(
        scenario=item["scenario"],
        root_id=item["root_id"],
        attempts=[Attempts(**attempts) for attempts in item["attempts"]],
        failure=Failure(**failure) if failure else None,
        never_reached=item["never_reached"],
    )
