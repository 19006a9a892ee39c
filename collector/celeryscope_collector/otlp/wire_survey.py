"""The same as ``survey`` of records in protobuf, which are not decoded for it: what is in many of them together."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from celeryscope import semconv
from celeryscope_collector.otlp import wire_schema
from celeryscope_collector.otlp.wire import NotPlain, field
from celeryscope_collector.processors import Survey
from celeryscope_collector.records import LOGS, Signal

_DEEPEST: Final = 4
"""Levels of arrays and maps that are looked into; all values of a level are merged, so there are few visits."""
# As in celeryscope.redaction, on UTF-8: at least what it finds there is found here.
_USERINFO: Final = re.compile(rb"""://[^\s:/@?#"'<>]*:(?!\d{1,5}[/?#])(?:(?!://)[^\s"'<>])+@""")
_RECORDS: Final = 2
"""The number of the field of ScopeSpans and of ScopeLogs that holds the records."""


@dataclass(slots=True)
class Route:
    """What of one record decides where it goes, and (of a log record) what it lacks."""

    key: str
    """``celery.root_id``, else the trace id; may be empty."""
    uid: str
    timed: bool
    attributes: int
    """How many attributes it has, or of its events, or of its links: whichever are most."""


def surveyed(payloads: list[bytes], routes: list[Route], signal: Signal) -> Survey:
    """What is in these spans or log records, of which ``route`` is known.

    Raises NotPlain when any of them has to be looked at by itself, protobuf's DecodeError when one is malformed.
    """
    joined = b"".join([field(_RECORDS, payload) for payload in payloads])
    schema = wire_schema.LOGS if signal is LOGS else wire_schema.SPANS
    merged = schema.FromString(joined).records
    _all_known(merged)
    names: set[str] = set()
    has_bytes = False
    for value in _values(merged, names, signal):
        has_bytes = has_bytes or len(value.bytes) > 0
    longest = max(map(len, payloads))
    return Survey(
        names=frozenset(names),
        # Of bytes the limits count the base64, which is a third longer.
        longest=longest * 2 if has_bytes else longest,
        # A log record may yet be given its id.
        most=max(route.attributes for route in routes) + 1,
        url_passwords=b"://" in joined and _USERINFO.search(joined) is not None,
    )


def _values(merged: Any, names: set[str], signal: Signal) -> Iterator[Any]:
    yield from _attributes(merged.attributes, names, 0)
    if signal is LOGS:
        yield from _value(merged.body, names, 0)
        return
    for part in (merged.status, merged.events, merged.links):
        _all_known(part)
    for ids, length in ((merged.links.trace_id, 16), (merged.links.span_id, 8)):
        _check_ids(ids, length)
    yield from _attributes(merged.events.attributes, names, 0)
    yield from _attributes(merged.links.attributes, names, 0)


def _attributes(attributes: Any, names: set[str], depth: int) -> Iterator[Any]:
    _all_known(attributes)
    names.update(attributes.key)
    yield from _value(attributes.value, names, depth)


def _value(value: Any, names: set[str], depth: int) -> Iterator[Any]:
    if depth > _DEEPEST:
        raise NotPlain
    _all_known(value)
    yield value
    if value.HasField("array"):
        _all_known(value.array)
        yield from _value(value.array.values, names, depth + 1)
    if value.HasField("map"):
        _all_known(value.map)
        yield from _attributes(value.map.values, names, depth + 1)


def _all_known(message: Any) -> None:
    # Fields that OTLP does not know are dropped, so they may not be passed on.
    if len(UnknownFieldSet(message)):
        raise NotPlain


def route(payload: bytes, signal: Signal) -> Route:
    """Of one record. Raises NotPlain when its ids or attributes are not as they should be, DecodeError."""
    schema = wire_schema.LOG_ROUTE if signal is LOGS else wire_schema.SPAN_ROUTE
    record = schema.FromString(payload)
    attributes = record.attributes
    keys = list(attributes.key)
    if len(keys) != len(attributes.value):
        raise NotPlain
    most = len(keys)
    trace_id, span_id = record.trace_id, record.span_id
    if signal is LOGS:
        _check_ids([some for some in (trace_id,) if some], 16)
        _check_ids([some for some in (span_id,) if some], 8)
        uid, timed = _text_of(semconv.LOG_RECORD_UID, keys, attributes.value), bool(record.time or record.observed)
    else:
        _check_ids((trace_id,), 16)
        _check_ids([span_id, record.parent] if record.parent else [span_id], 8)
        most = max(most, len(record.events.attributes.key), len(record.links.attributes.key))
        uid, timed = "", True
    return Route(_text_of(semconv.ROOT_ID, keys, attributes.value) or trace_id.hex(), uid, timed, most)


def _check_ids(ids: Any, length: int) -> None:
    for some in ids:
        if len(some) != length or not any(some):
            raise NotPlain


def _text_of(name: str, keys: list[str], values: Any) -> str:
    """The text of the first attribute of that name that has one, as ``partition_key`` takes it."""
    if name not in keys:
        return ""
    if keys.count(name) > 1:
        raise NotPlain
    value = values[keys.index(name)]
    # A text below 128 bytes, whole: what nearly all of them are.
    if len(value) > 2 and value[0] == 0x0A and value[1] == len(value) - 2 < 0x80:
        return str(value[2:].decode())
    decoded = AnyValue.FromString(value)
    if name == semconv.LOG_RECORD_UID and not decoded.string_value:
        # It is to be replaced.
        raise NotPlain
    return str(decoded.string_value)
