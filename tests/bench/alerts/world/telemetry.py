"""Processes that tell: their resources, clocks and ids, and the way of what they tell from the spool to the collector.

What a process writes is with the collector about a second later, unless its host can't reach the collector: then all of
it stays in the spool and comes afterwards, with the times at which it happened. A host that is gone keeps what it had.
"""

import heapq
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from alerts.world.engine import Engine
from celeryscope import otlp, semconv

Told = dict[str, dict[bytes, list[bytes]]]
"""Records in OTLP/JSON by kind ("logs", "spans"), then by resource."""
_SHIPPED_WITHIN = (0.1, 1.1)
_BACKOFF = (1.0, 30.0)
_RECORD_BYTES = 900


@dataclass
class Host:
    """A machine; ``skew``: seconds by which its clock is ahead of the true time."""

    name: str
    skew: float = 0.0
    away: list[tuple[float, float]] = field(default_factory=list)
    """Times during which the collector can't be reached."""
    gone_at: float = float("inf")
    back_at: float = float("inf")
    _back: dict[float, float] = field(default_factory=dict)
    """When the shipper comes through again, by the end of what kept it."""

    def arrival(self, written: float, chance: random.Random) -> float:
        """When the collector has what is written at this moment."""
        shipped = written + chance.uniform(*_SHIPPED_WITHIN)
        for begin, end in self.away:
            if begin <= shipped < end:
                shipped = self._through(end, chance)
        if self.gone_at <= shipped < self.back_at:
            shipped = self._through(self.back_at, chance)
        return shipped

    def _through(self, end: float, chance: random.Random) -> float:
        return self._back.setdefault(end, end + chance.uniform(*_BACKOFF))


class Outbox:
    """What all processes have told, in the order in which it reaches the collector."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, str, bytes, bytes]] = []
        self._number = 0

    def put(self, arrival: float, kind: str, resource: bytes, payload: bytes) -> None:
        """``payload``: a record in OTLP/JSON, of ``kind`` "logs" or "spans"."""
        self._number += 1
        heapq.heappush(self._waiting, (arrival, self._number, kind, resource, payload))

    def take(self, until: float) -> Told:
        """What arrives up to this moment."""
        taken: Told = {"logs": defaultdict(list), "spans": defaultdict(list)}
        while self._waiting and self._waiting[0][0] <= until:
            _, _, kind, resource, payload = heapq.heappop(self._waiting)
            taken[kind][resource].append(payload)
        return taken


class Teller:
    """What every process of one simulation shares."""

    def __init__(self, engine: Engine, outbox: Outbox, epoch: float, chance: random.Random) -> None:
        """``epoch``: POSIX time of the simulation's 0."""
        self.engine = engine
        self.outbox = outbox
        self.epoch = epoch
        self.chance = chance

    def hexadecimal(self, digits: int) -> str:
        """A new id."""
        return f"{self.chance.getrandbits(digits * 4):0{digits}x}"

    def uuid(self) -> str:
        """A new id of a task."""
        text = self.hexadecimal(32)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


class Process:
    """One process of a service on a host."""

    def __init__(self, teller: Teller, host: Host, service: str, version: str, environment: str) -> None:
        self.teller = teller
        self.host = host
        self.pid = teller.chance.randrange(200, 32_000)
        self.instance = teller.hexadecimal(16)
        self.began = teller.engine.now
        self.written = 0
        self._uids = 0
        self._clock = 0
        resource = {
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": "1.38.0",
            semconv.SERVICE_NAME: service,
            semconv.SERVICE_VERSION: version,
            semconv.SERVICE_INSTANCE_ID: self.instance,
            semconv.HOST_NAME: host.name,
            semconv.PROCESS_PID: self.pid,
            semconv.DEPLOYMENT_ENVIRONMENT: environment,
        }
        self.resource = _resource(resource)

    @property
    def now(self) -> float:
        """The true time."""
        return self.teller.engine.now

    def microseconds(self, moment: float | None = None) -> int:
        """What this host's clock says at a moment (now) of the true time."""
        at = self.now if moment is None else moment
        return int((self.teller.epoch + at + self.host.skew) * 1_000_000)

    def tick(self, seen: int = 0) -> int:
        """As ``celeryscope.clock.HybridClock``."""
        self._clock = max(self._clock + 1, seen + 1, self.microseconds())
        return self._clock

    def uid(self) -> str:
        """As ``Recorder.uid``."""
        self._uids += 1
        return f"{self.instance}-{self._uids:x}"

    def event(self, name: str, values: Mapping[str, Any], severity: str, body: str, trace_id: str = "") -> None:
        """As ``Recorder.event``."""
        payload = otlp.log_record(
            time_ns=self.microseconds() * 1000,
            attributes=otlp.encoded({semconv.LOG_RECORD_UID: self.uid(), **values}),
            body=body,
            severity_text=severity,
            event_name=name,
            trace_id=trace_id,
        )
        self.ship(payload)

    def ship(self, payload: bytes, later: float = 0.0, kind: str = "logs") -> None:
        """Write a record to the spool; ``later``: seconds until somebody does it."""
        self.written += 1
        moment = self.now + later
        self.teller.outbox.put(self.host.arrival(moment, self.teller.chance), kind, self.resource, payload)

    def pending_bytes(self) -> int:
        """What waits in the host's spool, about."""
        for begin, end in self.host.away:
            if begin <= self.now < end:
                share = (self.now - begin) / max(self.now - self.began, 1.0)
                return int(self.written * min(share, 1.0)) * _RECORD_BYTES
        return 0


def _resource(values: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"attributes": otlp.attributes(values)})
