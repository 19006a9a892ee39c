"""What must hold for any bytes that come as a request; a seed's first byte says as what they come."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope.service.protobuf import export_request
from celeryscope_collector.otlp.answers import JSON, PROTOBUF
from celeryscope_collector.otlp.content import TooLarge, Unsupported
from celeryscope_collector.otlp.decode import decode
from celeryscope_collector.pipeline import ExportRequest, Pipeline
from celeryscope_collector.prepare import prepared, sections_of
from celeryscope_collector.records import LOGS, TRACES, Signal
from celeryscope_collector.settings import CollectorSettings
from celeryscope_collector.watched import Fixed

CRASHES: Final = Path(__file__).parent / "crashes"
"""Requests that once broke something, kept so that they do not again."""

_MAX_MESSAGE: Final = 20_000
_TENANT: Final = {"key": semconv.TENANT, "value": {"stringValue": "shop"}}
_MEDIA_TYPES: Final = (JSON, PROTOBUF)
_BUILT: Final = 16
"""This bit of a seed's first byte: the others say step by step what JSON to make, so that mutations leave it JSON."""

_ENCODINGS: Final = ("", "gzip", "deflate", "zstd")

DICTIONARY: Final = Path(__file__).parent / "words.dict"
WORDS: Final = [line.strip('"') for line in DICTIONARY.read_text().splitlines() if line.startswith('"')]
"""Names and values that mean something in OTLP/JSON."""

_pipeline = Pipeline(Fixed(prepared(sections_of(CollectorSettings.load(allow_anonymous=True)))), 200_000, _MAX_MESSAGE)


def check(data: bytes) -> None:
    """The request is refused, or every message of it is plain OTLP of our tenant with as many records as it says."""
    kind, body = data[0] if data else 0, data[1:]
    if kind & _BUILT:
        body = orjson.dumps(_request(iter(body), (LOGS, TRACES)[kind & 1]))
        kind &= 1
    signal, media_type, encoding = (LOGS, TRACES)[kind & 1], _MEDIA_TYPES[kind >> 1 & 1], _ENCODINGS[kind >> 2 & 3]
    try:
        outcome = _pipeline.run(ExportRequest(signal, "shop", media_type, encoding, body, 17), 3)
    except (Rejected, TooLarge, Unsupported):
        return
    if not encoding:
        done = outcome.accepted + outcome.refused.total() + outcome.dropped.total()
        assert done == sum(_counted(body, media_type, signal))
    for message in outcome.messages:
        assert len(message.value) <= _MAX_MESSAGE
        assert 0 <= message.partition < 3
        assert _counted(message.value, message.media_type, signal) == (message.records, 0)
        json = message.media_type == JSON
        request = orjson.loads(message.value) if json else export_request(message.value, signal.kind)
        for part in request[signal.resource_key]:
            tenants = [one for one in part["resource"]["attributes"] if one["key"] == semconv.TENANT]
            assert tenants == [_TENANT]


def _counted(body: bytes, media_type: str, signal: Signal) -> tuple[int, int]:
    """How many records are valid and how many are not, in the eyes of the slow way that looks at everything."""
    decoded = decode(body, media_type, signal, keep_protobuf=False)
    return sum(map(len, decoded.chunks)), decoded.refused.total()


def _request(steps: Iterator[int], signal: Signal) -> Any:
    records = {signal.item_key: [_json(steps, 0), _json(steps, 0)], "scope": _json(steps, 0)}
    return {signal.resource_key: [{"resource": _json(steps, 0), signal.scope_key: [records]}]}


def _json(steps: Iterator[int], depth: int) -> Any:
    step = next(steps, 0)
    choice, number = step % 6, step // 6
    if choice == 0 and depth < 40:
        return {WORDS[next(steps, 0) % len(WORDS)]: _json(steps, depth + 1) for _ in range(number % 6)}
    if choice == 1 and depth < 40:
        return [_json(steps, depth + 1) for _ in range(number % 4)]
    if choice == 2:
        return WORDS[next(steps, 0) % len(WORDS)]
    if choice == 3 and depth < 40:
        # What an attribute looks like, which chance would hardly ever make.
        key, kind = WORDS[next(steps, 0) % len(WORDS)], WORDS[next(steps, 0) % len(WORDS)]
        return [{"key": key, "value": {kind: _json(steps, depth + 1)}}]
    return (number, -number, None, True, 0.5 * number, "x" * number * 40, 2**63 + number, "\0")[number % 8]


def seeds() -> Iterator[bytes]:
    """Requests to begin with: of both signals, in both media types and all encodings that a sender packs by itself."""
    for number, signal in enumerate((LOGS, TRACES)):
        yield bytes((_BUILT | number, *range(200)))
        protobuf = _logs() if signal is LOGS else _spans()
        json = orjson.dumps(export_request(protobuf, signal.kind))
        for media_type, body in enumerate((json, protobuf)):
            yield bytes((number | media_type << 1,)) + body
            yield bytes((number | media_type << 1 | 2 << 2,)) + zlib.compress(body)
        for body in _variants(json, signal):
            yield bytes((number,)) + body


def _variants(json: bytes, signal: Signal) -> Iterator[bytes]:
    # What JSON can say and protobuf can not.
    yield json.replace(b'"17"', b"17").replace(b'"doubleValue":1.5', b'"doubleValue":"NaN"')
    yield json.replace(b'"kind":5', b'"kind":"SPAN_KIND_CONSUMER"').replace(b"stringValue", b"string_value")
    yield b'{"%b":[{"resource":null,"%b":[{"%b":[{}]}]}]}' % (
        signal.resource_key.encode(),
        signal.scope_key.encode(),
        signal.item_key.encode(),
    )


def _attributes() -> list[KeyValue]:
    inner = [AnyValue(int_value=-1), AnyValue(double_value=1.5), AnyValue(bool_value=True), AnyValue(bytes_value=b"\0")]
    values = {
        "celery.root_id": AnyValue(string_value="r"),
        "celery.tenant": AnyValue(string_value="bank"),
        "db.password": AnyValue(string_value="redis://user:secret@host/0"),
        "list": AnyValue(array_value=ArrayValue(values=inner)),
        "map": AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="token", value=AnyValue(string_value="t"))])),
        "none": AnyValue(),
        "log.record.uid": AnyValue(string_value="u"),
    }
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def _logs() -> bytes:
    record = LogRecord(
        time_unix_nano=17,
        severity_number=9,
        severity_text="INFO",
        body=AnyValue(string_value="é"),
        attributes=_attributes(),
        trace_id=b"1" * 16,
        span_id=b"2" * 8,
        event_name="celery.task.failed",
    )
    scope = ScopeLogs(scope=InstrumentationScope(name="s", version="1"), log_records=[record, LogRecord()])
    resource = Resource(attributes=_attributes())
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource, scope_logs=[scope])])
    return bytes(request.SerializeToString())


def _spans() -> bytes:
    ids = {"trace_id": b"1" * 16, "span_id": b"2" * 8}
    span = Span(
        **ids,
        name="run",
        kind=Span.SPAN_KIND_CONSUMER,
        start_time_unix_nano=17,
        attributes=_attributes(),
        events=[Span.Event(name="exception", attributes=_attributes())],
        links=[Span.Link(**ids, attributes=_attributes())],
        status=Status(code=Status.STATUS_CODE_ERROR, message="m"),
    )
    scope = ScopeSpans(spans=[span, Span(name="no ids")], schema_url="https://opentelemetry.io/schemas/1.0")
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[scope])])
    return bytes(request.SerializeToString())
