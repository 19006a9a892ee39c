"""OTLP/gRPC: the same as the HTTP receiver, in gRPC's words.

gRPC itself neither parses nor decompresses a request: its decompression knows no limit, ours does. It refuses a message
over its limit by the size that the message announces, before reading it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import grpc
import structlog

from celeryscope_collector.intake import Admission, Intake
from celeryscope_collector.otlp import answers
from celeryscope_collector.otlp.content import packing
from celeryscope_collector.records import LOGS, METRICS, SIGNALS, TRACES, Signal
from celeryscope_collector.refusals import REFUSED, Refusal, refusal

_SERVICE: Final = "/opentelemetry.proto.collector."
_METHODS: Final = {
    f"{_SERVICE}trace.v1.TraceService/Export": TRACES,
    f"{_SERVICE}logs.v1.LogsService/Export": LOGS,
    f"{_SERVICE}metrics.v1.MetricsService/Export": METRICS,
}
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_BUG: Final = Refusal(500, answers.INTERNAL, "the collector failed; its log tells why")
_log = structlog.get_logger(__name__)


class GrpcReceiver(grpc.GenericRpcHandler):
    """The methods of gRPC; gives one to the server for each call."""

    def __init__(self, intake: Intake, signals: Sequence[Signal] = SIGNALS) -> None:
        """``signals`` are those that are taken."""
        self._intake = intake
        self._signals = signals
        # How large a message is, gRPC tells only when it is there: so many are read at once as fit at their largest.
        self._reads = asyncio.Semaphore(intake.bounds.bytes_in_flight // intake.bounds.request_bytes)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The method that was called, None (gRPC then answers UNIMPLEMENTED) for one that we do not have.

        As a stream, which on the wire is the same: so a sender is asked for its token before its message is read.
        """
        signal = _METHODS.get(handler_call_details.method)
        return (
            None
            if signal is None or signal not in self._signals
            else grpc.stream_unary_rpc_method_handler(self._method(signal))
        )

    def _method(self, signal: Signal) -> Callable[[AsyncIterator[bytes], Any], Any]:
        async def export(messages: AsyncIterator[bytes], context: Any) -> bytes:
            with self._intake.measured(signal, "grpc") as answered:
                try:
                    response = await self._accept(messages, context, signal)
                except REFUSED as error:
                    refused = refusal(error)
                except Exception:  # noqa: BLE001
                    _log.exception("a request of gRPC failed: this is a bug")
                    refused = _BUG
                else:
                    answered(grpc.StatusCode.OK.name)
                    return response
                answered(_CODES[refused.grpc].name)
            await _abort(context, refused)
            raise AssertionError("abort raises")

        return export

    async def _accept(self, messages: AsyncIterator[bytes], context: Any, signal: Signal) -> bytes:
        authorization = dict(context.invocation_metadata()).get("authorization")
        with self._intake.admitted(signal, authorization) as admission:
            body = await self._body(messages, admission)
            outcome = await self._intake.accept(admission, answers.PROTOBUF, packing(body), body)
        return answers.export_response(signal, answers.PROTOBUF, outcome.refused)

    async def _body(self, messages: AsyncIterator[bytes], admission: Admission) -> bytes:
        async with asyncio.timeout(self._intake.bounds.request_seconds), self._reads:
            async for message in messages:
                admission.take(len(message))
                return message
        # A call without any message is what an empty request is in other encodings.
        return b""


async def _abort(context: Any, refused: Refusal) -> None:
    details = answers.status(answers.PROTOBUF, refused.grpc, refused.message, refused.retry_after)
    await context.abort(_CODES[refused.grpc], refused.message, (("grpc-status-details-bin", details),))
