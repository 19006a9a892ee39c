"""Scenarios: what happens in the world, and what whoever is on call wants to be told. A file each.

A scenario names entities, traffic and happenings only; it knows nothing of rules. Times are written ``1h20m``, ``90s``,
``-30m``; 0 is when the watcher begins, the world is older than that; ``end`` is the end of the run.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

FOLDER = Path(__file__).parent / "scenarios"
_TIME = re.compile(r"(-?)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_NEVER = float("inf")
Made = TypeVar("Made")
TWICE = "twice"
"""The effect that an attempt is run a second time; nothing that happens has this name."""


class WrongScenario(Exception):
    """A file is no scenario; the message says where and why."""


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How a task tries again: ``most`` times, after ``countdown`` seconds, each time ``backoff`` times as long."""

    most: int = 3
    countdown: float = 10.0
    backoff: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """A task of the application; ``rate``: publishes a second by web processes, ``runtime``: seconds, median."""

    name: str
    queue: str = "celery"
    rate: float = 0.0
    runtime: float = 0.3
    spread: float = 0.3
    """Sigma of the run time's logarithm."""
    retries: Retries | None = None
    acks_late: bool = False
    calls: str = ""
    """The upstream that it calls."""
    gives_up: float = 30.0
    """Seconds after which a call of the upstream times out."""
    countdown: float = 0.0
    """Seconds that it is published ahead of its time."""
    traffic: tuple[tuple[float, float], ...] = ()
    """Its own shape, times that of the service."""


@dataclass(frozen=True, kw_only=True)
class WorkerKind:
    """A worker of the service; the last part of its name is its host."""

    name: str
    host: str
    queues: tuple[str, ...] = ("celery",)
    concurrency: int = 4
    prefetch: int = 4
    """Messages for each process that it takes ahead."""
    starts: float = -_NEVER
    """When it is started for the first time."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """An entry of beat's schedule."""

    name: str
    task: str
    every: float


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident megabytes of a pool's process: ``base``, and ``warm`` more over its first ``tasks`` tasks."""

    base: float = 85.0
    warm: float = 25.0
    tasks: float = 100.0
    limit: float = _NEVER
    """At this the kernel kills it."""
    recycle: int = 0
    """Celery's max_tasks_per_child; 0: never."""


@dataclass(frozen=True, kw_only=True)
class Happening:
    """``what`` happens from ``begin`` until ``until`` (the same moment, when it takes no time)."""

    what: str
    begin: float
    until: float
    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What the person on call wants to be told of.

    ``of``: the happening whose first effect is its begin, when that is later than ``begin``. ``cause``: when that began
    which leads to it; whoever tells then is early, not wrong. One that names no entity is about the whole service.
    """

    begin: float
    until: float
    of: str = ""
    cause: float | None = None
    tasks: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    why: str = ""

    @property
    def entities(self) -> set[str]:
        """The names of all that it affects."""
        return {*self.tasks, *self.queues, *self.workers, *self.schedules}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One service and its day."""

    name: str
    about: str
    service: str
    tasks: tuple[TaskKind, ...]
    workers: tuple[WorkerKind, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    broker: str = "rabbitmq"
    visibility: float = 3600.0
    """Redis: seconds after which a message that nobody acknowledged is delivered again."""
    memory: Memory = field(default_factory=Memory)
    traffic: tuple[tuple[float, float], ...] = ()
    clocks: Mapping[str, float] = field(default_factory=dict)
    """Seconds by which hosts' clocks are ahead."""
    version: str = "1.0.0"
    begins: float = -_NEVER
    """When the service comes to be."""
    happens: tuple[Happening, ...] = ()
    incidents: tuple[Incident, ...] = ()


def load(folder: Path = FOLDER) -> list[Scenario]:
    """All scenarios by name. Raises WrongScenario."""
    return [read(path) for path in sorted(folder.glob("*.yaml"))]


def read(path: Path) -> Scenario:
    """One scenario, named after its file. Raises WrongScenario."""
    try:
        return _scenario(path.stem, yaml.safe_load(path.read_text()))
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise WrongScenario(f"{path.name}: {error}") from error


def seconds(text: Any) -> float:
    """A time of a scenario; numbers are seconds. Raises ValueError."""
    if isinstance(text, int | float):
        return float(text)
    if text == "end":
        return _NEVER
    found = _TIME.fullmatch(str(text))
    if not found or not any(found.groups()[1:]):
        raise ValueError(f"{text!r} is no time: 1h20m, 90s, -30m or end")
    sign, hours, minutes, rest = found.groups()
    return (-1 if sign else 1) * (int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(rest or 0))


def _scenario(name: str, content: dict[str, Any]) -> Scenario:
    content = dict(content)
    tasks = tuple(_task(key, values) for key, values in content.pop("tasks").items())
    workers = tuple(_worker(key, values or {}) for key, values in content.pop("workers", {}).items())
    schedules = tuple(
        Schedule(name=key, task=values["task"], every=seconds(values["every"]))
        for key, values in content.pop("schedules", {}).items()
    )
    happens = tuple(_happening(number, dict(values)) for number, values in enumerate(content.pop("happens", ())))
    incidents = tuple(_incident(dict(values), happens) for values in content.pop("incidents", ()))
    return _made(
        Scenario,
        name=name,
        tasks=tasks,
        workers=workers,
        schedules=schedules,
        happens=happens,
        incidents=incidents,
        memory=_made(Memory, **content.pop("memory", {})),
        traffic=_shape(content.pop("traffic", ())),
        begins=seconds(content.pop("begins", -_NEVER)),
        visibility=seconds(content.pop("visibility", 3600)),
        **content,
    )


def _task(name: str, values: dict[str, Any]) -> TaskKind:
    values = dict(values)
    retries = values.pop("retries", None)
    return _made(
        TaskKind,
        name=name,
        retries=_made(Retries, **retries) if retries else None,
        traffic=_shape(values.pop("traffic", ())),
        runtime=seconds(values.pop("runtime", 0.3)),
        countdown=seconds(values.pop("countdown", 0)),
        **values,
    )


def _worker(name: str, values: dict[str, Any]) -> WorkerKind:
    values = dict(values)
    return _made(
        WorkerKind,
        name=name,
        host=name.partition("@")[2],
        queues=tuple(values.pop("queues", ("celery",))),
        starts=seconds(values.pop("starts", -_NEVER)),
        **values,
    )


def _happening(number: int, values: dict[str, Any]) -> Happening:
    begin = seconds(values.pop("at") if "at" in values else values.pop("from"))
    until = seconds(values.pop("until", begin))
    name = values.pop("name", f"#{number + 1}")
    what = next(iter(values))
    return Happening(what=what, begin=begin, until=until, name=name, values=values)


def _incident(values: dict[str, Any], happens: tuple[Happening, ...]) -> Incident:
    of = values.pop("of", "")
    cause = next((happening for happening in happens if happening.name == of), None)
    if of and cause is None and of != TWICE:
        raise ValueError(f"nothing that happens is named {of!r}")
    begin = values.pop("from", None)
    if "cause" in values:
        values["cause"] = seconds(values["cause"])
    return _made(
        Incident,
        begin=seconds(begin) if begin is not None else cause.begin if cause else -_NEVER,
        until=seconds(values.pop("until")),
        of=of,
        **{key: tuple(values.pop(key)) for key in ("tasks", "queues", "workers", "schedules") if key in values},
        **values,
    )


def _shape(points: Any) -> tuple[tuple[float, float], ...]:
    return tuple((seconds(moment), float(factor)) for moment, factor in points)


def _made(kind: type[Made], **values: Any) -> Made:
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}")
    missing = {
        name for name, each in known.items() if each.default is MISSING and each.default_factory is MISSING
    } - set(values)
    if missing:
        raise ValueError(f"{kind.__name__} lacks {', '.join(sorted(missing))}")
    return kind(**values)
