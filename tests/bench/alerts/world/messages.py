"""Messages of tasks, and the events of their attempts, made by the instrumentation's own functions."""

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import StatusCode

from alerts.scenario import TaskKind
from alerts.world.telemetry import Process
from celeryscope import otlp, semconv, tasks
from celeryscope.spool.lost import lost_event, lost_span, uid
from celeryscope.spool.state import End, Sent, SpanEnd, Start, ended, sent_attributes, sent_event, started

_NO_MORE: dict[str, Any] = {}
_ERROR = otlp.SPAN_STATUS[StatusCode.ERROR]


@dataclass(slots=True)
class Message:
    """One message in a broker; ``eta``: the true time from which on it may run, if it has one.

    ``told_eta``: the same by its publisher's clock, as POSIX time.
    """

    id: str
    kind: TaskKind
    retries: int
    origin: str
    header: dict[str, Any]
    arguments: str
    eta: float | None = None
    told_eta: float | None = None
    redelivered: bool = False

    def request(self, header: dict[str, Any] = _NO_MORE) -> dict[str, Any]:
        """What Celery has of it, as ``tasks.told`` takes it; ``header``: ours, where it isn't the message's own."""
        source: dict[str, Any] = {
            "id": self.id,
            "task": self.kind.name,
            "root_id": self.id,
            "retries": self.retries,
            "origin": self.origin,
            "argsrepr": self.arguments,
            "kwargsrepr": "{}",
            semconv.HEADER: header or self.header,
        }
        if self.told_eta is not None:
            source["eta"] = self.told_eta
        return source


@dataclass(slots=True)
class Job:
    """A delivery of a message to a worker."""

    message: Message
    header: dict[str, Any]
    received: float
    start: Start | None = None
    began: float = 0.0
    acknowledged: bool = False
    ended: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def clock(self) -> int:
        """The latest clock that is known of the attempt."""
        return self.start["clock"] if self.start else tasks.clock_of(self.header)


def publish(process: Process, system: str, kind: TaskKind, *, again: Message | None = None, wait: float = 0) -> Message:
    """A message, and its event ``sent``; ``again``: the attempt before, ``wait``: seconds until it may run."""
    clock = process.tick()
    sent_at = min(clock, process.microseconds())
    header = {semconv.HEADER_SENT_AT: sent_at}
    if clock != sent_at:
        header[semconv.HEADER_CLOCK] = clock
    message = Message(
        id=again.id if again else process.teller.uuid(),
        kind=kind,
        retries=again.retries + 1 if again else 0,
        origin=again.origin if again else f"gen{process.pid}@{process.host.name}",
        header=header,
        arguments=again.arguments if again else f"({process.teller.chance.randrange(10_000, 99_999)},)",
        eta=process.now + wait if wait else None,
        told_eta=sent_at / 1e6 + wait if wait else None,
    )
    sent = Sent(
        time_ns=sent_at * 1000,
        started_ns=sent_at * 1000,
        ended_ns=sent_at * 1000 + 500_000,
        name=kind.name,
        system=system,
        destination=kind.queue,
        clock=clock,
        uid=process.uid(),
        request=tasks.told(message.request(), tasks.as_told),
        trace_id=message.id.replace("-", ""),
        span_id=process.teller.hexadecimal(16),
        parent_id="",
    )
    process.ship(sent_event(sent, sent_attributes(sent)))
    return message


def receive(main: Process, message: Message) -> Job:
    """The worker's main process has the message."""
    header = dict(message.header)
    header[semconv.HEADER_RECEIVED_AT] = main.microseconds()
    header[semconv.HEADER_DELIVERY] = main.teller.hexadecimal(16)
    header[semconv.HEADER_CLOCK] = main.tick(tasks.clock_of(header))
    return Job(message, header, main.now)


def tell_received(main: Process, job: Job, worker: str, system: str) -> None:
    """It still waits when the worker looks: the event ``received``."""
    values = tasks.snapshot(_source(job), tasks.as_told)
    values |= {
        semconv.MESSAGING_SYSTEM: system,
        semconv.WORKER: worker,
        semconv.CLOCK: tasks.clock_of(job.header),
        semconv.STATE: semconv.STATE_RECEIVED,
    }
    body = f"Task {job.message.kind.name} received"
    main.event(semconv.EVENT_TASK_RECEIVED, values, "INFO", body, job.message.id.replace("-", ""))


def tell_unknown(main: Process, job: Job, worker: str, system: str) -> None:
    """The worker has no such task, and drops the message: the event ``unknown``."""
    values = tasks.snapshot(_source(job), tasks.as_told)
    name = job.message.kind.name
    values |= {
        semconv.MESSAGING_SYSTEM: system,
        semconv.WORKER: worker,
        semconv.ENDED_AT: main.microseconds(),
        semconv.CLOCK: main.tick(tasks.clock_of(job.header)),
        semconv.STATE: semconv.STATE_UNKNOWN,
        semconv.EXCEPTION_TYPE: "celery.exceptions.NotRegistered",
        semconv.EXCEPTION_MESSAGE: f"'{name}'",
        semconv.EXCEPTION_STACKTRACE: f"celery.exceptions.NotRegistered: '{name}'\n",
        semconv.FAILURE_KIND: semconv.KIND_UNREGISTERED,
    }
    body = f"Received unregistered task {name}"
    main.event(semconv.EVENT_TASK_UNKNOWN, values, "ERROR", body, job.message.id.replace("-", ""))


def begin(child: Process, job: Job, worker: str, system: str) -> None:
    """A process of the pool starts the task."""
    job.began = child.now
    job.start = Start(
        time_ns=child.microseconds() * 1000,
        name=job.message.kind.name,
        delivery=job.header[semconv.HEADER_DELIVERY],
        worker=worker,
        system=system,
        clock=child.tick(tasks.clock_of(job.header)),
        uid=child.uid(),
        request=tasks.told(_source(job), tasks.as_told),
        trace_id=job.message.id.replace("-", ""),
        span_id=child.teller.hexadecimal(16),
        parent_id=child.teller.hexadecimal(16),
    )


def tell_started(child: Process, job: Job, later: float) -> None:
    """It still runs when the shipper looks: the event ``started``, written ``later`` from now."""
    assert job.start is not None
    child.ship(started(job.start), later)


def tell_end(process: Process, job: Job, event: str, severity: str, said: dict[str, Any] = _NO_MORE) -> None:
    """The attempt's final event and its span, from the process that ran it."""
    assert job.start is not None
    time_ns = max(process.microseconds() * 1000, job.start["time_ns"])
    runtime = (time_ns - job.start["time_ns"]) / 1e9
    how = said.get(semconv.EXCEPTION_MESSAGE, "")
    end = End(
        event=event,
        time_ns=time_ns,
        severity=severity,
        body=f"Task {job.message.kind.name} {event.rsplit('.', 1)[1]}{': ' if how else ''}{how}",
        attributes={
            semconv.LOG_RECORD_UID: process.uid(),
            semconv.ENDED_AT: time_ns // 1000,
            semconv.STATE: semconv.TASK_STATES[event],
            semconv.RUNTIME: runtime,
            semconv.CLOCK: process.tick(job.clock),
            **said,
        },
        span=SpanEnd(ended_ns=time_ns),
    )
    if event == semconv.EVENT_TASK_FAILED and end["span"]:
        end["span"] |= {"status": _ERROR, "message": f"{said[semconv.EXCEPTION_TYPE]}: {how}"}
    payload, span = ended(job.start, end)
    assert payload is not None
    assert span is not None
    process.ship(payload)
    process.ship(span, kind="spans")


def tell_killed(main: Process, job: Job, said: dict[str, Any]) -> None:
    """The main process has seen the death of the one that ran the task; it knows no span, the spool's reader does."""
    assert job.start is not None
    now = main.microseconds()
    values: dict[str, Any] = {
        semconv.LOG_RECORD_UID: uid(job.header[semconv.HEADER_DELIVERY]),
        semconv.ENDED_AT: now,
        semconv.STATE: semconv.STATE_LOST,
        semconv.RUNTIME: main.now - job.began,
        semconv.CLOCK: main.tick(job.clock),
        **said,
    }
    body = f"Task {job.message.kind.name} lost: {said[semconv.EXCEPTION_MESSAGE]}"
    event = semconv.EVENT_TASK_LOST
    end = End(event=event, time_ns=now * 1000, severity="ERROR", body=body, attributes=values, span=None)
    payload = ended(Start(**{**job.start, "span_id": ""}), end)[0]
    assert payload is not None
    main.ship(payload)
    main.ship(lost_span(job.start, now * 1000), 1.0, "spans")


def tell_lost(child: Process, job: Job, later: float) -> None:
    """Whoever adopts the dead process's spool tells that it was lost."""
    assert job.start is not None
    died_at = child.microseconds() * 1000
    child.ship(lost_event(job.start, died_at), later)
    child.ship(lost_span(job.start, died_at), later, "spans")


def tell_stack(main: Process, job: Job, worker: str, hangs_in: str, repeats: int) -> None:
    """What a task does that runs too long."""
    assert job.start is not None
    values = tasks.snapshot(_source(job), tasks.as_told) | {
        semconv.WORKER: worker,
        semconv.STATE: semconv.STATE_STARTED,
        semconv.STARTED_AT: job.start["time_ns"] // 1000,
        semconv.CLOCK: main.tick(tasks.clock_of(job.header)),
        semconv.STACK_VERDICT: hangs_in,
        semconv.STACK_WHERE: _WHERE[hangs_in].format(package=job.message.kind.name.split(".")[0]),
        semconv.STACK_RUNTIME: round(main.now - job.began, 3),
        semconv.STACK_REPEATS: repeats,
        semconv.STACK_CPU: 0.98 if hangs_in == semconv.VERDICT_CPU else 0.0,
    }
    if not repeats:
        values[semconv.STACK_TRACE] = f"Thread (most recent call last):\n  {values[semconv.STACK_WHERE]}\n"
    body = f"Task {job.message.kind.name} runs for {values[semconv.STACK_RUNTIME]:.0f} s: {hangs_in}"
    main.event(semconv.EVENT_TASK_STACK, values, "WARN", body, job.message.id.replace("-", ""))


_WHERE = {
    semconv.VERDICT_LOCK: "/srv/app/{package}/stock.py:31 in reserve: with self.lock:",
    semconv.VERDICT_IO: "socket, /srv/app/{package}/client.py:84 in call: answer = self.read()",
    semconv.VERDICT_CPU: "/srv/app/{package}/report.py:120 in render: rows.append(row)",
}


def _source(job: Job) -> dict[str, Any]:
    redelivered = job.message.redelivered
    where = {"delivery_info": {"routing_key": job.message.kind.queue, "redelivered": redelivered}}
    return job.message.request(job.header) | where
