"""OTLP/HTTP: requests in, answers out. 200 means that every accepted record is in Kafka."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from celeryscope.errors import Rejected, Unauthorized, Unavailable
from celeryscope_collector.budget import Budget
from celeryscope_collector.exporter import KafkaExporter
from celeryscope_collector.metrics import Metrics
from celeryscope_collector.otlp import answers
from celeryscope_collector.otlp.content import TooLarge, Unsupported
from celeryscope_collector.pipeline import ExportRequest, Outcome, Pipeline
from celeryscope_collector.records import SIGNALS, Signal

_MEDIA_TYPES: Final = (answers.JSON, answers.PROTOBUF)
_GRPC_CODES: Final = {404: answers.NOT_FOUND, 405: answers.UNIMPLEMENTED}
# What each error is answered with, in HTTP and in gRPC's codes; one that is not in the table is a bug, and a 500.
_ERRORS: Final[dict[type[Exception], tuple[int, int]]] = {
    Unauthorized: (401, answers.UNAUTHENTICATED),
    Unsupported: (415, answers.INVALID_ARGUMENT),
    TooLarge: (413, answers.RESOURCE_EXHAUSTED),
    Rejected: (400, answers.INVALID_ARGUMENT),
    TimeoutError: (408, answers.DEADLINE_EXCEEDED),
    # Nobody reads this answer; the status is for the metric.
    ClientDisconnect: (400, answers.INVALID_ARGUMENT),
    Unavailable: (503, answers.UNAVAILABLE),
}
_log = structlog.get_logger(__name__)


class Tenants(Protocol):
    """Knows the tenant of a request."""

    def tenant(self, authorization: str | None) -> str:
        """The tenant of an ``Authorization`` header; Unauthorized when it has none."""


@dataclass(frozen=True)
class Bounds:
    """What a receiver holds at most: bytes of one body, bytes of all bodies, seconds until a body is there."""

    request_bytes: int
    bytes_in_flight: int
    request_seconds: float


class Receiver:
    """The endpoints. Requests are worked on in threads, so that /healthz answers whatever their size."""

    def __init__(
        self, tenants: Tenants, pipeline: Pipeline, exporter: KafkaExporter, metrics: Metrics, bounds: Bounds
    ) -> None:
        self._tenants = tenants
        self._pipeline = pipeline
        self._exporter = exporter
        self._metrics = metrics
        self._bounds = bounds
        self._budget = Budget(bounds.bytes_in_flight)
        self._threads = ThreadPoolExecutor(2, "pipeline")
        metrics.bytes_in_flight.labels("requests").set_function(lambda: self._budget.used)
        metrics.bytes_in_flight.labels("kafka").set_function(lambda: exporter.bytes_in_flight)

    def app(self) -> Starlette:
        """The ASGI application."""
        exports = [Route(signal.path, self._endpoint(signal), methods=["POST"]) for signal in SIGNALS]
        return Starlette(
            routes=[
                *exports,
                Route("/healthz", _healthz, methods=["GET"]),
                Route("/readyz", self._readyz, methods=["GET"]),
                Route("/metrics", self._expose, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _http_error},
        )

    def _endpoint(self, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
        async def export(request: Request) -> Response:
            started = time.perf_counter()
            response = await self._answer(request, signal)
            self._metrics.requests.labels(signal.kind, str(response.status_code)).inc()
            self._metrics.request_seconds.labels(signal.kind).observe(time.perf_counter() - started)
            return response

        return export

    async def _answer(self, request: Request, signal: Signal) -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        answer_type = media_type if media_type in _MEDIA_TYPES else answers.JSON
        try:
            outcome = await self._accept(request, signal, media_type)
        except tuple(_ERRORS) as error:
            http, code = next(_ERRORS[kind] for kind in type(error).__mro__ if kind in _ERRORS)
            return _status(http, answer_type, code, str(error) or "the body did not arrive in time", _headers(error))
        return Response(answers.export_response(signal, answer_type, outcome.refused), media_type=answer_type)

    async def _accept(self, request: Request, signal: Signal, media_type: str) -> Outcome:
        tenant = self._tenants.tenant(request.headers.get("authorization"))
        if media_type not in _MEDIA_TYPES:
            raise Unsupported(f"content-type {media_type!r} is not supported: use {' or '.join(_MEDIA_TYPES)}")
        # Asked before the body is read: while Kafka is away no memory is spent on data that can't be kept.
        partitions = self._exporter.partitions(signal)
        taken = _Taken(self._budget)
        try:
            body = await self._body(request, taken)
            self._metrics.request_bytes.labels(signal.kind).inc(len(body))
            encoding = request.headers.get("content-encoding", "")
            export = ExportRequest(signal, tenant, media_type, encoding, body, time.time_ns())
            loop = asyncio.get_running_loop()
            outcome = await loop.run_in_executor(self._threads, self._pipeline.run, export, partitions)
            await self._exporter.export(outcome.messages)
        finally:
            taken.give_back()
        self._count(signal, tenant, outcome)
        return outcome

    async def _body(self, request: Request, taken: "_Taken") -> bytes:
        limit = self._bounds.request_bytes
        if int(request.headers.get("content-length", "0")) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        async with asyncio.timeout(self._bounds.request_seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                taken.take(len(part))
                parts.append(part)
        return b"".join(parts)

    def _count(self, signal: Signal, tenant: str, outcome: Outcome) -> None:
        self._metrics.records_accepted.labels(signal.kind, tenant).inc(outcome.accepted)
        for reason, number in outcome.refused.items():
            self._metrics.records_refused.labels(signal.kind, reason).inc(number)
        for processor, number in outcome.dropped.items():
            self._metrics.records_dropped.labels(signal.kind, processor).inc(number)
        if outcome.refused:
            _log.warning("records refused", tenant=tenant, signal=signal.kind, reasons=dict(outcome.refused))

    async def _readyz(self, _request: Request) -> Response:
        problem = self._exporter.problem
        return PlainTextResponse(problem or "ready", 503 if problem else 200)

    async def _expose(self, _request: Request) -> Response:
        return Response(self._metrics.exposition(), headers={"Content-Type": self._metrics.content_type})


class _Taken:
    """What one request took from the budget, given back as a whole."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._bytes = 0

    def take(self, number: int) -> None:
        self._budget.take(number)
        self._bytes += number

    def give_back(self) -> None:
        self._budget.give_back(self._bytes)


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _GRPC_CODES.get(error.status_code, answers.INTERNAL)
    return _status(error.status_code, answers.JSON, code, error.detail, dict(error.headers or {}))


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="celeryscope"'}
    if isinstance(error, Unavailable):
        return {"Retry-After": str(math.ceil(error.retry_after or 1))}
    return {}


def _status(http: int, media_type: str, code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(answers.status(media_type, code, message), http, headers, media_type)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the request is over {limit} bytes: send smaller batches")
