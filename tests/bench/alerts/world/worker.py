"""A worker: a main process, a pool of processes, what it holds, and how it ends."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alerts.scenario import WorkerKind
from alerts.world import messages, vitals
from alerts.world.messages import Job, Message
from alerts.world.telemetry import Host, Process
from celeryscope import semconv

if TYPE_CHECKING:
    from alerts.world.service import Service

_MEGABYTE = 1024 * 1024
_STACK_AFTER = 60.0
_ADOPTED_WITHIN = (2.0, 12.0)
_GIVES_UP = 90.0
"""Seconds after which whoever stops a worker kills it."""


@dataclass
class Outcome:
    """What becomes of one run: it takes ``runtime`` seconds (or never ends) and ends well, or with ``error``."""

    runtime: float
    error: str = ""
    upstream: str = ""
    of: str = ""
    """The happening that is to blame, if one is."""
    hangs_in: str = semconv.VERDICT_IO
    leaks: float = 0.0
    """Megabytes that the process has lost afterwards."""


@dataclass
class Child:
    """A process of the pool."""

    process: Process
    job: Job | None = None
    tasks: int = 0
    leaked: float = 0.0
    busy: float = 0.0


@dataclass
class Worker:
    """One life of a worker, from its start to its end; the next start is another object."""

    service: "Service"
    kind: WorkerKind
    host: Host
    children: list[Child] = field(default_factory=list)
    waiting: deque[Job] = field(default_factory=deque)
    scheduled: list[Job] = field(default_factory=list)
    processed: int = 0
    state: str = "starting"

    def __post_init__(self) -> None:
        self.main = self.service.process(self.host)
        self.concurrency = self.kind.concurrency
        self.heartbeat = vitals.Heartbeat(self)

    # --- its life -----------------------------------------------------------------------------------------------------
    @property
    def is_alive(self) -> bool:
        """Whether its main process is there."""
        return self.state in {"online", "stopping"}

    def start(self) -> None:
        """It is ready and takes tasks."""
        self.state = "online"
        self.children = [Child(self.service.process(self.host)) for _ in range(self.concurrency)]
        self.heartbeat.start()
        for queue in self.kind.queues:
            self.service.broker.consumers[queue].append(self)
            self.service.broker.deliver(queue)

    def stop(self) -> None:
        """A warm shutdown: what runs may end, what waits goes back."""
        if self.state != "online":
            return
        self._leave()
        self.state = "stopping"
        held = [*self.waiting, *self.scheduled]
        self.waiting.clear()
        self.scheduled.clear()
        self.service.broker.give_back(held, at_once=True)
        self.service.engine.after(_GIVES_UP, self._kill_what_is_left)
        self._end_when_idle()

    def kill(self, host_is_gone: bool = False) -> None:
        """SIGKILL, or its machine is gone; its children end with it."""
        if not self.is_alive:
            return
        self._leave()
        self.state = "dead"
        running = [child for child in self.children if child.job]
        chance = self.service.chance
        for child in running:
            assert child.job is not None
            child.job.ended = True
            messages.tell_lost(child.process, child.job, 0.0 if host_is_gone else chance.uniform(*_ADOPTED_WITHIN))
        held = [*self.waiting, *self.scheduled, *(child.job for child in running if child.job)]
        self.service.engine.after(
            chance.uniform(60, 120) if host_is_gone else 0.0, self.service.broker.give_back, held, False
        )

    def scale(self, concurrency: int) -> None:
        """The autoscaler: more processes at once, fewer as soon as they are idle."""
        self.concurrency = concurrency
        self.children += [Child(self.service.process(self.host)) for _ in range(concurrency - len(self.children))]
        self._shrink()
        self._work()

    def lose_connection(self) -> None:
        """The broker is away: what has not begun will come again."""
        held = [*self.waiting, *self.scheduled]
        self.waiting.clear()
        self.scheduled.clear()
        self.service.broker.give_back(held, at_once=not self.service.broker.is_redis)

    def _leave(self) -> None:
        for consumers in self.service.broker.consumers.values():
            if self in consumers:
                consumers.remove(self)

    def _end_when_idle(self) -> None:
        if self.state == "stopping" and not any(child.job for child in self.children):
            self.state = "ended"
            self.heartbeat.stop()

    def _kill_what_is_left(self) -> None:
        if self.state == "stopping":
            self.kill()

    def _shrink(self) -> None:
        idle = [child for child in self.children if not child.job]
        for child in idle[: max(len(self.children) - self.concurrency, 0)]:
            self.children.remove(child)

    # --- its tasks ----------------------------------------------------------------------------------------------------
    @property
    def load(self) -> float:
        """See ``Consumer``."""
        return (len(self.waiting) + self.active) / self.concurrency

    @property
    def active(self) -> int:
        """Tasks that run."""
        return sum(child.job is not None for child in self.children)

    def has_room(self) -> bool:
        """See ``Consumer``."""
        late = sum(child.job is not None and child.job.message.kind.acks_late for child in self.children)
        return self.state == "online" and len(self.waiting) + late < self.concurrency * self.kind.prefetch

    def take(self, message: Message) -> None:
        """See ``Consumer``."""
        job = messages.receive(self.main, message)
        self.service.broker.took(job)
        if unknown := self.service.unregistered(message.kind):
            self.service.has_effect(unknown)
            self.service.broker.acknowledge(job)
            messages.tell_unknown(self.main, job, self.kind.name, self.service.broker.system)
            return
        if message.eta is not None and message.eta > self.main.now:
            self.scheduled.append(job)
            self.service.engine.at(message.eta, self._is_due, job)
        else:
            self._is_ready(job)

    def _is_due(self, job: Job) -> None:
        if job in self.scheduled:
            self.scheduled.remove(job)
            self._is_ready(job)

    def _is_ready(self, job: Job) -> None:
        self.waiting.append(job)
        self._work()
        if job.start is None:
            self.service.engine.after(self.service.chance.uniform(0.1, 1.0), self._tell_waiting, job)

    def _tell_waiting(self, job: Job) -> None:
        if job in self.waiting and self.is_alive:
            messages.tell_received(self.main, job, self.kind.name, self.service.broker.system)

    def _work(self) -> None:
        idle = [child for child in self.children if child.job is None]
        # Celery writes to whichever pipe is ready, in no order.
        self.service.chance.shuffle(idle)
        while self.state == "online" and self.waiting and idle:
            self._begin(idle.pop(), self.waiting.popleft())

    def _begin(self, child: Child, job: Job) -> None:
        service = self.service
        child.job = job
        messages.begin(child.process, job, self.kind.name, service.broker.system)
        if not job.message.kind.acks_late:
            service.broker.acknowledge(job)
        service.deliveries.begun(job)
        outcome = service.outcome(job.message)
        looked_at = service.chance.uniform(0.0, 1.0)
        if outcome.runtime > looked_at:
            messages.tell_started(child.process, job, looked_at)
        if self._is_too_large(child):
            service.engine.after(outcome.runtime / 2, self._run_out_of_memory, child, job)
        if outcome.runtime < math.inf:
            service.engine.after(outcome.runtime, self._end, child, job, outcome)
        if outcome.runtime > _STACK_AFTER:
            service.engine.after(_STACK_AFTER, self._tell_stack, job, outcome, 0)

    def _tell_stack(self, job: Job, outcome: Outcome, repeats: int) -> None:
        if not job.ended and self.is_alive:
            messages.tell_stack(self.main, job, self.kind.name, outcome.hangs_in, repeats)
            again = min(_STACK_AFTER * 2**repeats, 3600.0)
            self.service.engine.after(again, self._tell_stack, job, outcome, repeats + 1)

    def _end(self, child: Child, job: Job, outcome: Outcome) -> None:
        if job.ended or not self.is_alive:
            return
        job.ended = True
        child.job = None
        child.busy += outcome.runtime
        child.leaked += outcome.leaks
        self._tell_end(child, job, outcome)
        child.tasks += 1
        self.processed += 1
        self.service.broker.acknowledge(job)
        self._keep_in_shape(child)
        self._shrink()
        self._work()
        for queue in self.kind.queues:
            self.service.broker.deliver(queue)
        self._end_when_idle()

    def _tell_end(self, child: Child, job: Job, outcome: Outcome) -> None:
        message, service = job.message, self.service
        if not outcome.error:
            messages.tell_end(child.process, job, semconv.EVENT_TASK_SUCCEEDED, "INFO")
            return
        described: dict[str, Any] = service.error(outcome, message)
        if outcome.of:
            service.has_effect(outcome.of)
        retries = message.kind.retries
        if retries and message.retries < retries.most:
            countdown = retries.countdown * retries.backoff**message.retries
            service.publish(child.process, message.kind, again=message, wait=countdown)
            described |= {
                semconv.RETRY_REASON: described[semconv.EXCEPTION_MESSAGE],
                semconv.RETRY_COUNTDOWN: float(countdown),
                semconv.RETRY_ETA: child.process.microseconds(child.process.now + countdown),
            }
            messages.tell_end(child.process, job, semconv.EVENT_TASK_RETRIED, "WARN", described)
            return
        described[semconv.FAILURE_KIND] = semconv.KIND_EXCEPTION
        messages.tell_end(child.process, job, semconv.EVENT_TASK_FAILED, "ERROR", described)

    # --- its processes ------------------------------------------------------------------------------------------------
    def memory_of(self, child: Child) -> int:
        """Resident bytes."""
        memory = self.service.scenario.memory
        warm = memory.warm * min(child.tasks / memory.tasks, 1.0)
        noise = self.service.chance.uniform(0.99, 1.01)
        return int((memory.base + warm + child.leaked) * noise * _MEGABYTE)

    def _keep_in_shape(self, child: Child) -> None:
        recycle = self.service.scenario.memory.recycle
        if recycle and child.tasks >= recycle:
            self._renew(child)

    def _is_too_large(self, child: Child) -> bool:
        memory = self.service.scenario.memory
        return memory.base + memory.warm + child.leaked > memory.limit

    def _run_out_of_memory(self, child: Child, job: Job) -> None:
        if child.job is job:
            self.kill_child(child)

    def kill_child(self, child: Child, out_of_memory: bool = True) -> None:
        """The kernel kills one process of the pool while it runs a task; the main process tells, and forks another."""
        job = child.job
        if job is None or not self.is_alive:
            return
        job.ended = True
        why = f"Worker exited prematurely: signal 9 (SIGKILL) Job: {self.processed + 1}."
        kind = semconv.KIND_WORKER_LOST
        if out_of_memory:
            kind, why = semconv.KIND_OUT_OF_MEMORY, f"Killed by the kernel's out-of-memory killer. {why}"
        said = {
            semconv.EXCEPTION_TYPE: "billiard.exceptions.WorkerLostError",
            semconv.EXCEPTION_MESSAGE: why,
            semconv.EXCEPTION_STACKTRACE: _LOST.format(why=why),
            semconv.FAILURE_KIND: kind,
        }
        messages.tell_killed(self.main, job, said)
        self.processed += 1
        self.service.broker.acknowledge(job)
        self._renew(child)
        self._work()

    def _renew(self, child: Child) -> None:
        child.process = self.service.process(self.host)
        child.job, child.tasks, child.leaked, child.busy = None, 0, 0.0, 0.0


_LOST = """\
Traceback (most recent call last):
  File "/srv/app/.venv/lib/python3.12/site-packages/billiard/pool.py", line 1264, in mark_as_worker_lost
    raise WorkerLostError(
billiard.exceptions.WorkerLostError: {why}
"""
