"""The same as ``survey`` of records in protobuf, which are not decoded for it: what is in many of them together."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from celeryscope import semconv
from celeryscope_collector.otlp import wire_schema
from celeryscope_collector.otlp.url_passwords import may_be_in
from celeryscope_collector.otlp.wire import NotPlain
from celeryscope_collector.processors import Survey
from celeryscope_collector.records import LOGS, Signal

_DEEPEST: Final = 4
"""Levels of arrays and maps that are looked into; all values of a level are merged, so there are few visits."""
_ROOT: Final = semconv.ROOT_ID.encode()
_UID: Final = semconv.LOG_RECORD_UID.encode()


class Route(msgspec.Struct):
    """What of one record decides where it goes, and (of a log record) what it lacks."""

    key: str
    """``celery.root_id``, else the trace id; may be empty."""
    uid: str
    timed: bool


class _Routes:
    """What is seen of records one by one. Those of one sender have their attributes in the same places."""

    def __init__(self, signal: Signal) -> None:
        self.trace_ids: list[bytes] = []
        self.span_ids: list[bytes] = []
        self.roots = self.uids = 0
        """How many records have these attributes."""
        self.most = 0
        self._is_log = signal is LOGS
        self._parsed = (wire_schema.LOG_ROUTE if signal is LOGS else wire_schema.SPAN_ROUTE).FromString
        self._root_place = self._uid_place = 0

    def of(self, payload: bytes) -> Route:
        """Raises NotPlain when its attributes are not as they should be, DecodeError."""
        record = self._parsed(payload)
        attributes = record.attributes
        keys, values = attributes.key, attributes.value
        number = len(keys)
        if number != len(values):
            raise NotPlain
        self.most = max(self.most, number)
        key = ""
        # Looked for where the record before had it; partition_key takes the first of that name that has a text.
        place = self._root_place
        if (place < number and keys[place] == _ROOT) or (place := _index(keys, _ROOT)) >= 0:
            self._root_place = place
            self.roots += 1
            key = _text(values[place])
        if not self._is_log:
            trace_id, span_id = record.trace_id, record.span_id
            self.trace_ids.append(trace_id)
            self.span_ids += (span_id, record.parent) if record.parent else (span_id,)
            self.most = max(self.most, len(record.events.attributes.key), len(record.links.attributes.key))
            return Route(key or trace_id.hex(), "", True)
        uid = ""
        place = self._uid_place
        if (place < number and keys[place] == _UID) or (place := _index(keys, _UID)) >= 0:
            self._uid_place = place
            self.uids += 1
            uid = _text(values[place])
            if not uid:
                # It is to be replaced.
                raise NotPlain
        return Route(key or record.trace_id.hex(), uid, bool(record.time or record.observed))


def _index(keys: Any, name: bytes) -> int:
    listed = keys[:]
    return listed.index(name) if name in listed else -1


def _text(value: bytes) -> str:
    """The text of an attribute's value; empty when it has none."""
    # A text below 128 bytes, whole: what nearly all of them are.
    if len(value) > 2 and value[0] == 0x0A and value[1] == len(value) - 2 < 0x80:
        return value[2:].decode()
    return str(AnyValue.FromString(value).string_value)


def surveyed(payloads: list[bytes], fields: Iterable[bytes], signal: Signal) -> tuple[Survey, list[Route]]:
    """What is in these spans or log records, and where each of them goes; ``fields`` are they as fields of a scope.

    Raises NotPlain when any of them has to be looked at by itself, protobuf's DecodeError when one is malformed.
    """
    seen = _Routes(signal)
    routes = [seen.of(payload) for payload in payloads]
    joined = b"".join(fields)
    schema = wire_schema.LOGS if signal is LOGS else wire_schema.SPANS
    merged = schema.FromString(joined).records
    _all_known(merged)
    if signal is LOGS:
        # A log record need not have them; empty ones are none.
        seen.trace_ids, seen.span_ids = list(filter(None, merged.trace_id)), list(filter(None, merged.span_id))
    _check_ids(seen.trace_ids, 16)
    _check_ids(seen.span_ids, 8)
    # A slice is made in one go, list() asks for each.
    keys = merged.attributes.key[:]
    if keys.count(_ROOT) != seen.roots or keys.count(_UID) != seen.uids:
        # One of the records has it twice.
        raise NotPlain
    names = set(keys)
    has_bytes = False
    for value in _values(merged, names, signal):
        has_bytes = has_bytes or len(value.bytes) > 0
    longest = max(map(len, payloads))
    survey = Survey(
        # Names that are no UTF-8 raise here.
        names=frozenset([name.decode() for name in names]),
        # Of bytes the limits count the base64, which is a third longer.
        longest=longest * 2 if has_bytes else longest,
        # A log record may yet be given its id.
        most=seen.most + 1,
        url_passwords=may_be_in(joined),
    )
    return survey, routes


def _values(merged: Any, names: set[bytes], signal: Signal) -> Iterator[Any]:
    _all_known(merged.attributes)
    yield from _value(merged.attributes.value, names, 0)
    if signal is LOGS:
        yield from _value(merged.body, names, 0)
        return
    for part in (merged.status, merged.events, merged.links):
        _all_known(part)
    for ids, length in ((merged.links.trace_id, 16), (merged.links.span_id, 8)):
        _check_ids(ids, length)
    yield from _attributes(merged.events.attributes, names, 0)
    yield from _attributes(merged.links.attributes, names, 0)


def _attributes(attributes: Any, names: set[bytes], depth: int) -> Iterator[Any]:
    _all_known(attributes)
    names.update(attributes.key)
    yield from _value(attributes.value, names, depth)


def _value(value: Any, names: set[bytes], depth: int) -> Iterator[Any]:
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


def _check_ids(ids: Iterable[bytes], length: int) -> None:
    found = set(ids)
    if found and (set(map(len, found)) != {length} or bytes(length) in found):
        raise NotPlain
