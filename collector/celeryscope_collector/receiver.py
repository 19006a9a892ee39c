"""OTLP/HTTP: requests in, answers out. 200 means that every accepted record is in Kafka."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from celeryscope_collector.intake import Admission, Intake, too_large
from celeryscope_collector.metrics import Metrics
from celeryscope_collector.otlp import answers
from celeryscope_collector.otlp.content import Unsupported
from celeryscope_collector.pipeline import Outcome
from celeryscope_collector.records import METRICS, SIGNALS, Signal
from celeryscope_collector.refusals import REFUSED, refusal

_MEDIA_TYPES: Final = (answers.JSON, answers.PROTOBUF)
_NO_METRICS: Final = (
    "metrics are not taken here: switch them off in the sender (OTEL_METRICS_EXPORTER=none) or send them elsewhere "
    "(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT); CELERYSCOPE_COLLECTOR_METRICS=true lets this collector pass them to Kafka"
)
_GRPC_CODES: Final = {404: answers.NOT_FOUND, 405: answers.UNIMPLEMENTED}


class Receiver:
    """The endpoints of HTTP."""

    def __init__(self, intake: Intake, metrics: Metrics, signals: Sequence[Signal] = SIGNALS) -> None:
        """``signals`` are those that are taken."""
        self._signals = signals
        self._intake = intake
        self._metrics = metrics

    def app(self) -> Starlette:
        """The ASGI application."""
        exports = [Route(signal.path, self._endpoint(signal), methods=["POST"]) for signal in self._signals]
        if METRICS not in self._signals:
            exports.append(Route(METRICS.path, _no_metrics, methods=["POST"]))
        app = Starlette(
            routes=[
                *exports,
                Route("/healthz", _healthz, methods=["GET"]),
                Route("/readyz", self._readyz, methods=["GET"]),
                Route("/metrics", self._expose, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _http_error},
        )
        # Senders of OTLP follow no redirect: a path that is nearly right is wrong.
        app.router.redirect_slashes = False
        return app

    def _endpoint(self, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
        async def export(request: Request) -> Response:
            with self._intake.measured(signal, "http") as answered:
                response = await self._answer(request, signal)
                answered(response.status_code)
            return response

        return export

    async def _answer(self, request: Request, signal: Signal) -> Response:
        media_type = _media_type(request)
        answer_type = media_type if media_type in _MEDIA_TYPES else answers.JSON
        try:
            outcome = await self._accept(request, signal, media_type)
        except REFUSED as error:
            return _refused(error, answer_type)
        return Response(answers.export_response(signal, answer_type, outcome.refused), media_type=answer_type)

    async def _accept(self, request: Request, signal: Signal, media_type: str) -> Outcome:
        with self._intake.admitted(signal, request.headers.get("authorization")) as admission:
            if media_type not in _MEDIA_TYPES:
                raise Unsupported(f"content-type {media_type!r} is not supported: use {' or '.join(_MEDIA_TYPES)}")
            body = await self._body(request, admission)
            return await self._intake.accept(admission, media_type, request.headers.get("content-encoding", ""), body)

    async def _body(self, request: Request, admission: Admission) -> bytes:
        if int(request.headers.get("content-length", "0")) > admission.max_bytes:
            raise too_large(admission.max_bytes)
        parts: list[bytes] = []
        async with asyncio.timeout(self._intake.bounds.request_seconds):
            async for part in request.stream():
                admission.take(len(part))
                parts.append(part)
        return b"".join(parts)

    async def _readyz(self, _request: Request) -> Response:
        problem = self._intake.problem
        return PlainTextResponse(problem or "ready", 503 if problem else 200)

    async def _expose(self, _request: Request) -> Response:
        return Response(self._metrics.exposition(), headers={"Content-Type": self._metrics.content_type})


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _no_metrics(request: Request) -> Response:
    answer_type = answers.PROTOBUF if _media_type(request) == answers.PROTOBUF else answers.JSON
    return Response(answers.status(answer_type, answers.UNIMPLEMENTED, _NO_METRICS), 404, media_type=answer_type)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _GRPC_CODES.get(error.status_code, answers.INTERNAL)
    body = answers.status(answers.JSON, code, error.detail)
    return Response(body, error.status_code, error.headers, answers.JSON)


def _refused(error: Exception, media_type: str) -> Response:
    refused = refusal(error)
    headers: dict[str, str] = {}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(refused.retry_after)
    if refused.http == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="celeryscope"'
    return Response(answers.status(media_type, refused.grpc, refused.message), refused.http, headers, media_type)
