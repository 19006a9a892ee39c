"""What happens between a request and its answer, whatever it came by: who sent it, may it, and is it in Kafka."""

import asyncio
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from celeryscope_collector.budget import Budget, Taken
from celeryscope_collector.exporter import KafkaExporter
from celeryscope_collector.metrics import Metrics
from celeryscope_collector.otlp.content import TooLarge
from celeryscope_collector.pipeline import ExportRequest, Outcome, Pipeline
from celeryscope_collector.rates import Rates
from celeryscope_collector.records import Signal
from celeryscope_collector.tenant_limits import TenantLimits

_log = structlog.get_logger(__name__)


class Tenants(Protocol):
    """Knows the tenant of a request, and how much it may send."""

    def tenant(self, authorization: str | None) -> str:
        """The tenant of an ``Authorization`` header; Unauthorized when it has none."""

    def limits(self, tenant: str) -> TenantLimits:
        """The limits of a tenant."""


@dataclass(frozen=True)
class Bounds:
    """What is held at most: bytes of one body, bytes of all bodies, seconds until a body is there."""

    request_bytes: int
    bytes_in_flight: int
    request_seconds: float


@dataclass(frozen=True)
class Admission:
    """A request that may come in: its tenant's limits, its share of the budget, and the largest body."""

    signal: Signal
    tenant: str
    limits: TenantLimits
    partitions: int
    max_bytes: int
    taken: Taken

    def take(self, number: int) -> None:
        """Reserve bytes of the body; raises TooLarge over the limit of one request, Unavailable over that of all."""
        if self.taken.bytes + number > self.max_bytes:
            raise too_large(self.max_bytes)
        self.taken.take(number)


class Intake:
    """Admits requests and brings them through the pipeline into Kafka; the pipeline runs in threads."""

    def __init__(
        self,
        tenants: Tenants,
        pipeline: Pipeline,
        exporter: KafkaExporter,
        rates: Rates,
        metrics: Metrics,
        bounds: Bounds,
    ) -> None:
        self.bounds = bounds
        self._tenants = tenants
        self._pipeline = pipeline
        self._exporter = exporter
        self._rates = rates
        self._metrics = metrics
        self._budget = Budget(bounds.bytes_in_flight, metrics.bytes_in_flight.labels("requests").set)
        self._threads = ThreadPoolExecutor(2, "pipeline")

    @property
    def problem(self) -> str | None:
        """Why nothing can be accepted now; None when all is well."""
        return self._exporter.problem

    @contextmanager
    def admitted(self, signal: Signal, authorization: str | None) -> Generator[Admission, None, None]:
        """Decides before the body is read, so that no memory is spent on what can't be kept.

        Raises Unauthorized, TooMuch (the tenant is over its rate), or Unavailable (Kafka is away).
        """
        tenant = self._tenants.tenant(authorization)
        limits = self._tenants.limits(tenant)
        self._rates.admit(tenant, limits)
        partitions = self._exporter.partitions(signal)
        taken = Taken(self._budget)
        max_bytes = min(self.bounds.request_bytes, limits.request_bytes or self.bounds.request_bytes)
        try:
            yield Admission(signal, tenant, limits, partitions, max_bytes, taken)
        finally:
            taken.give_back()

    async def accept(self, admission: Admission, media_type: str, encoding: str, body: bytes) -> Outcome:
        """Return when every record of the body is in Kafka, refused or dropped.

        Raises Rejected, TooLarge, Unsupported (the body can never be accepted) or Unavailable (Kafka is away or slow).
        """
        signal, tenant = admission.signal, admission.tenant
        self._metrics.request_bytes.labels(signal.kind).inc(len(body))
        self._rates.charge(tenant, admission.limits, size=len(body))
        export = ExportRequest(signal, tenant, media_type, encoding, body, time.time_ns())
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._threads, self._pipeline.run, export, admission.partitions)
        records = outcome.accepted + outcome.refused.total() + outcome.dropped.total()
        self._rates.charge(tenant, admission.limits, records=records)
        self._metrics.records_received.labels(signal.kind).inc(records)
        try:
            await self._exporter.export(outcome.messages)
        except BaseException:  # a request that is given up by its sender, too
            self._metrics.records_unavailable.labels(signal.kind).inc(records)
            raise
        self._count(signal, tenant, outcome)
        return outcome

    @contextmanager
    def measured(self, signal: Signal, transport: str) -> Generator[Callable[[object], None], None, None]:
        """Time of a request and the status of its answer, which is told by calling what this yields."""
        started = time.perf_counter()
        under_way = self._metrics.requests_under_way.labels(signal.kind)

        def answered(status: object) -> None:
            self._metrics.requests.labels(signal.kind, transport, str(status)).inc()
            self._metrics.request_seconds.labels(signal.kind).observe(time.perf_counter() - started)

        with under_way.track_inprogress():
            yield answered

    def _count(self, signal: Signal, tenant: str, outcome: Outcome) -> None:
        self._metrics.records_accepted.labels(signal.kind, tenant).inc(outcome.accepted)
        for reason, number in outcome.refused.items():
            self._metrics.records_refused.labels(signal.kind, reason).inc(number)
        for processor, number in outcome.dropped.items():
            self._metrics.records_dropped.labels(signal.kind, processor).inc(number)
        if outcome.refused:
            _log.warning("records refused", tenant=tenant, signal=signal.kind, reasons=dict(outcome.refused))


def too_large(limit: int) -> TooLarge:
    """The refusal of a body over ``limit`` bytes."""
    return TooLarge(f"the request is over {limit} bytes: send smaller batches")
