"""How much a request would become once parsed: an empty value is two bytes on the wire, and a hundred times that here.

Checked before anything is parsed, by counting, so that no request can cost much more time and memory than its bytes.
"""

from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from celeryscope_collector.otlp.content import TooLarge
from celeryscope_collector.records import LOGS, METRICS, TRACES, Signal

MAX_PARTS: Final = 1_000_000
"""Objects and lists of a JSON request, messages of a protobuf request; an attribute has two of them.

Of metrics the numbers in lists count, too: as much as bytes when they are packed."""

_SMALL_BYTES: Final = 1024 * 1024
"""Protobuf below this is not counted, since counting costs a fifth of decoding; it becomes 100 MB at worst."""

_REQUESTS: Final[dict[str, Any]] = {
    TRACES.kind: ExportTraceServiceRequest.DESCRIPTOR,
    LOGS.kind: ExportLogsServiceRequest.DESCRIPTOR,
    METRICS.kind: ExportMetricsServiceRequest.DESCRIPTOR,
}
_TEXTS: Final = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}
_DELIMITED: Final = 2
_FIXED: Final = {1: 8, 5: 4}


class _Broken(Exception):
    """This is no protobuf; the parser will say so better."""


def check_json(body: bytes, *, numbers: bool = False) -> None:
    """Raises TooLarge when the JSON has too many objects and lists; with ``numbers`` members of lists count, too."""
    # Each of them has an end, too.
    if len(body) > 2 * MAX_PARTS:
        count = body.count(b"{") + body.count(b"[") + (body.count(b",") if numbers else 0)
        if count > MAX_PARTS:
            raise _too_many()


def check_protobuf(body: bytes, signal: Signal) -> None:
    """Raises TooLarge when the export request has too many messages, or numbers in lists (metrics have such).

    Broken protobuf is left to the parser.
    """
    if len(body) < _SMALL_BYTES:
        return
    waiting, count = [(_REQUESTS[signal.kind], 0, len(body))], 0
    try:
        while waiting:
            message, position, end = waiting.pop()
            inner, numbers = _inner(body, position, end, *_fields_of(message))
            count += len(inner) + numbers
            if count > MAX_PARTS:
                raise _too_many()
            waiting += inner
    except (_Broken, IndexError):
        return


@cache
def _fields_of(message: Any) -> tuple[dict[int, Any], frozenset[int]]:
    """The messages that a message holds, by their tags, and the fields of its lists of numbers."""
    inner = [field for field in message.fields if field.message_type is not None]
    messages = {field.number << 3 | _DELIMITED: field.message_type for field in inner}
    lists = [field for field in message.fields if field.is_repeated and field.message_type is None]
    return messages, frozenset(field.number for field in lists if field.type not in _TEXTS)


def _inner(
    body: bytes, position: int, end: int, messages: dict[int, Any], lists: frozenset[int]
) -> tuple[list[tuple[Any, int, int]], int]:
    """The messages in a message, with their places, and at most how many numbers its lists have."""
    found: list[tuple[Any, int, int]] = []
    numbers = 0
    while position < end:
        tag, position = _varint(body, position)
        if tag & 7 != _DELIMITED:
            if lists:
                numbers += tag >> 3 in lists
            position = _skipped(body, position, tag & 7)
            continue
        size, position = _varint(body, position)
        message = messages.get(tag)
        if message is not None:
            found.append((message, position, min(position + size, end)))
            if len(found) > MAX_PARTS:
                raise _too_many()
        elif lists and tag >> 3 in lists:
            # Packed: a small number is one byte.
            numbers += size
        position += size
    return found, numbers


def _varint(body: bytes, position: int) -> tuple[int, int]:
    number = body[position]
    if number < 0x80:
        return number, position + 1
    number &= 0x7F
    for shift in range(7, 70, 7):
        position += 1
        part = body[position]
        number |= (part & 0x7F) << shift
        if part < 0x80:
            return number, position + 1
    raise _Broken


def _skipped(body: bytes, position: int, wire_type: int) -> int:
    if wire_type == 0:
        return _varint(body, position)[1]
    if wire_type not in _FIXED:
        raise _Broken
    return position + _FIXED[wire_type]


def _too_many() -> TooLarge:
    return TooLarge(f"the request has over {MAX_PARTS} records, attributes and values: send smaller batches")
