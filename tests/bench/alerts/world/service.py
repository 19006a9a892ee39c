"""One service and all that belongs to it: publishers, beat, broker, workers; and how its tasks' runs turn out."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from alerts.scenario import TWICE, Happening, Scenario, TaskKind, WorkerKind
from alerts.world import errors, messages, vitals
from alerts.world.beat import Beat
from alerts.world.broker import Broker
from alerts.world.engine import Engine
from alerts.world.messages import Job, Message
from alerts.world.telemetry import Host, Process, Teller
from alerts.world.worker import Outcome, Worker

_RESTART = 8.0
"""Seconds from a worker's end to its being ready again."""
_ROLLING = 25.0
_LOOKED_AT_QUEUES = 30.0
_WEB = 2
_ENVIRONMENT = "production"
_AS_LONG = 3.0
"""A run of so many times its usual length is slow to anyone who looks."""
_HANGS = 10.0


class Deliveries:
    """Which attempts have begun to run, to see when one does so twice."""

    def __init__(self, twice: Callable[[], object]) -> None:
        self._begun: set[tuple[str, int]] = set()
        self._twice = twice

    def begun(self, job: Job) -> None:
        """A process starts with it."""
        attempt = (job.message.id, job.message.retries)
        if job.message.redelivered and attempt in self._begun:
            self._twice()
        self._begun.add(attempt)


class Service:
    """A scenario's world; ``faults`` does to it what happens."""

    def __init__(self, scenario: Scenario, teller: Teller) -> None:
        self.scenario = scenario
        self.teller = teller
        self.engine: Engine = teller.engine
        self.chance = teller.chance
        self.version = scenario.version
        self.hosts: dict[str, Host] = {}
        self.effects: dict[str, float] = {}
        self.deliveries = Deliveries(lambda: self.has_effect(TWICE))
        address = f"broker.{scenario.service}.internal"
        self.broker = Broker(self.engine, self.chance, scenario.broker, address, scenario.visibility)
        self.broker.swallows = self._swallows
        self.workers: dict[str, Worker] = {}
        self.web: list[Process] = []
        self.beat: Beat | None = None
        self._struck: Counter[str] = Counter()
        self._active: dict[str, list[Happening]] = defaultdict(list)
        for happening in scenario.happens:
            self._active[happening.what].append(happening)

    # --- what it is made of -------------------------------------------------------------------------------------------
    def host(self, name: str) -> Host:
        """The machine of this name."""
        if name not in self.hosts:
            away = [
                (each.begin, each.until)
                for each in self._active["collector_away"]
                if name in (each.values.get("hosts") or [name])
            ]
            self.hosts[name] = Host(name, self.scenario.clocks.get(name, 0.0), away)
        return self.hosts[name]

    def process(self, host: Host) -> Process:
        """A new process of the version that is deployed now."""
        return Process(self.teller, host, self.scenario.service, self.version, _ENVIRONMENT)

    def begin(self) -> None:
        """It comes to be: workers first, then who publishes."""
        for kind in self.scenario.workers:
            self.engine.at(kind.starts, self.start_worker, kind)
        self.start_web()
        if self.scenario.schedules:
            self.beat = Beat(self)
            self.beat.start()
        for kind in self.scenario.tasks:
            if kind.rate:
                self._next_arrival(kind, self.engine.now)
        for queue in sorted({queue for kind in self.scenario.workers for queue in kind.queues}):
            depths = vitals.Depths(queue, self.broker)
            self.engine.after(self.chance.uniform(1, vitals.LOOK), self._look, depths)

    def start_web(self) -> None:
        """The processes that publish, of the version that is deployed now."""
        self.web = [self.process(self.host(f"{self.scenario.service}-web-{n + 1}")) for n in range(_WEB)]

    def start_worker(self, kind: WorkerKind) -> None:
        """A new life of a worker."""
        worker = Worker(self, kind, self.host(kind.host))
        self.workers[kind.name] = worker
        worker.start()

    def restart_workers(self) -> None:
        """One after the other, each in good order."""
        for number, kind in enumerate(self.scenario.workers):
            self.engine.after(number * _ROLLING, self._restart, kind)

    def _restart(self, kind: WorkerKind) -> None:
        worker = self.workers.get(kind.name)
        if worker and worker.is_alive:
            worker.stop()
            self._start_when_ended(worker)

    def _start_when_ended(self, worker: Worker) -> None:
        if worker.is_alive:
            self.engine.after(1.0, self._start_when_ended, worker)
        else:
            self.engine.after(_RESTART, self.start_worker, worker.kind)

    def _look(self, depths: vitals.Depths) -> None:
        depths.look(self.engine.now)
        self.engine.after(vitals.LOOK, self._look, depths)

    # --- what is published --------------------------------------------------------------------------------------------
    def publish(
        self, process: Process, kind: TaskKind, *, again: Message | None = None, wait: float = 0.0
    ) -> Message | None:
        """None when the broker can't be reached."""
        if not self.broker.is_up:
            return None
        message = messages.publish(process, self.broker.system, kind, again=again, wait=wait)
        self.broker.publish(message)
        return message

    def kind(self, name: str) -> TaskKind:
        """The task of this name."""
        return next(kind for kind in self.scenario.tasks if kind.name == name)

    def _next_arrival(self, kind: TaskKind, after: float) -> None:
        """Poisson, by thinning of the highest rate."""
        highest = kind.rate * _most(self.scenario.traffic) * _most(kind.traffic)
        moment = after + self.chance.expovariate(highest) if highest else math.inf
        if moment < math.inf:
            self.engine.at(moment, self._arrival, kind, highest)

    def _arrival(self, kind: TaskKind, highest: float) -> None:
        now = self.engine.now
        rate = kind.rate * _factor(self.scenario.traffic, now) * _factor(kind.traffic, now)
        if self.chance.random() * highest < rate:
            self.publish(self.chance.choice(self.web), kind, wait=kind.countdown)
        self._next_arrival(kind, now)

    def _swallows(self, message: Message) -> bool:
        for happening in self._during("loses"):
            if message.kind.queue == happening.values["loses"] and self._hits(happening):
                # By then somebody has looked at the queue, and it is not there.
                self.has_effect(happening.name, _LOOKED_AT_QUEUES)
                return True
        return False

    # --- how runs turn out --------------------------------------------------------------------------------------------
    def has_effect(self, name: str, later: float = 0.0) -> None:
        """Anyone who looks sees now (or ``later``) that it happens."""
        self.effects[name] = min(self.effects.get(name, math.inf), self.engine.now + later)

    def error(self, outcome: Outcome, message: Message) -> dict[str, str]:
        """The ``exception.*`` attributes."""
        return errors.attributes(outcome.error, message.kind.name, self.chance, outcome.upstream)

    def unregistered(self, kind: TaskKind) -> str:
        """The happening by which workers don't know the task; "" when they do."""
        return next(
            (each.name for each in self._during("unregistered") if each.values["unregistered"] == kind.name), ""
        )

    def outcome(self, message: Message) -> Outcome:
        """What becomes of a run that begins now."""
        kind = message.kind
        outcome = Outcome(kind.runtime * self.chance.lognormvariate(0.0, kind.spread))
        for name, change in _CHANGES:
            for happening in self._during(name):
                if self._concerns(happening, name, message):
                    change(self, outcome, kind, happening)
        return outcome

    def _concerns(self, happening: Happening, what: str, message: Message) -> bool:
        named, kind = happening.values[what], message.kind
        about = kind.calls if what == "upstream" else kind.name
        if about not in (named if isinstance(named, list) else [named]):
            return False
        if happening.values.get("each") == "message":
            # The same message has the same fate each time that it is tried.
            return random.Random(message.id).random() < float(happening.values["share"])
        return self._hits(happening)

    def _hits(self, happening: Happening) -> bool:
        if self._struck[happening.name] >= happening.values.get("most", math.inf):
            return False
        hits = self.chance.random() < float(happening.values.get("share", 1.0))
        self._struck[happening.name] += hits
        return hits

    def _during(self, what: str) -> list[Happening]:
        now = self.engine.now
        return [each for each in self._active[what] if each.begin <= now < each.until]

    def _takes(self, outcome: Outcome, kind: TaskKind, happening: Happening) -> None:
        outcome.runtime *= float(happening.values["factor"])
        outcome.hangs_in = happening.values.get("in", outcome.hangs_in)
        self.has_effect(happening.name, kind.runtime * _AS_LONG)

    def _leaks(self, outcome: Outcome, kind: TaskKind, happening: Happening) -> None:
        outcome.leaks += float(happening.values["megabytes"])

    def _fails(self, outcome: Outcome, kind: TaskKind, happening: Happening) -> None:
        outcome.error, outcome.of = happening.values["error"], happening.name

    def _upstream(self, outcome: Outcome, kind: TaskKind, happening: Happening) -> None:
        outcome.upstream = f"{kind.calls}.example"
        if "error" in happening.values:
            self._fails(outcome, kind, happening)
            outcome.runtime = min(outcome.runtime, 0.1)
            return
        slow = float(happening.values["seconds"]) * self.chance.lognormvariate(0.0, 0.2)
        outcome.runtime += min(slow, kind.gives_up)
        if slow > kind.runtime * _AS_LONG:
            self.has_effect(happening.name, kind.runtime * _AS_LONG)
        if slow >= kind.gives_up:
            outcome.error, outcome.of = "timeout", happening.name

    def _hangs(self, outcome: Outcome, kind: TaskKind, happening: Happening) -> None:
        outcome.runtime = math.inf
        outcome.hangs_in = happening.values.get("in", "io")
        self.has_effect(happening.name, max(kind.runtime * _HANGS, _HANGS))


_CHANGES: Sequence[tuple[str, Callable[[Service, Outcome, TaskKind, Happening], Any]]] = (
    ("takes", Service._takes),
    ("leaks", Service._leaks),
    ("fails", Service._fails),
    ("upstream", Service._upstream),
    ("hangs", Service._hangs),
)
"""In this order: a task that hangs neither fails nor ends."""


def _factor(shape: tuple[tuple[float, float], ...], moment: float) -> float:
    """Linear between the points of the shape; 1 without any."""
    if not shape:
        return 1.0
    if moment <= shape[0][0]:
        return shape[0][1]
    for (begin, before), (end, after) in pairwise(shape):
        if moment < end:
            return before + (after - before) * (moment - begin) / (end - begin)
    return shape[-1][1]


def _most(shape: tuple[tuple[float, float], ...]) -> float:
    return max((factor for _, factor in shape), default=1.0)
