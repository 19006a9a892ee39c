"""A record with marks in place of its values, and its origin likewise.

A mark is a value of the same kind that stands nowhere else, so where one shows in a document, the value of another
record that is written alike would show. What it shows as (itself, or a time as a date) is said with it, and the pattern
of the values of which the same is true. Values on which more depends than what is shown are no marks: they stay.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from celeryscope import semconv
from celeryscope_pipelines.attributes import MOMENTS, moment, timestamp
from celeryscope_pipelines.records import Origin

TEXT: Final = rb'(?!")[^"\\]*+(?:\\.[^"\\]*+)*+'
_ID: Final = rb'[^"\\]{1,400}+'
"""Part of a document's id, which has 512 bytes at most; a tenant has a hundred."""
_INTEGER: Final = rb"(?:0|-?[1-9][0-9]{0,17}+)"
_CLOCK: Final = rb"[1-9][0-9]{0,17}+"
_DOUBLE: Final = rb"-?(?:0|[1-9][0-9]{0,19}+)(?:\.[0-9]{1,30}+(?:[eE][-+]?[0-9]{1,2}+)?+|[eE][-+]?[0-9]{1,2}+)"
"""Never written like an integer: Elasticsearch would take the field for one of those."""
_MOMENT: Final = rb"[1-8][0-9]{15}"
_TIME: Final = rb"[1-8][0-9]{18}"
_TRACE_ID: Final = rb"(?!0{32})[0-9a-f]{32}"
_SPAN_ID: Final = rb"(?!0{16})[0-9a-f]{16}"
_IDS: Final = frozenset({semconv.ATTEMPT, semconv.LOG_RECORD_UID})
_STAY: Final = frozenset({semconv.EVENT_NAME, semconv.SAMPLING_RATIO, semconv.MAPS})
"""Attributes on whose value it depends which documents there are, or what is in them."""
_TEXTS: Final = frozenset({semconv.STATE, semconv.TASK_NAME})
"""Attributes that are shown a second time, where they are texts as they are; of others it depends on their value."""

_START: Final = "startTimeUnixNano"
_END: Final = "endTimeUnixNano"
_ENDS: Final = frozenset({_START, _END})

Derive = Callable[[Any], bytes]


class Source(NamedTuple):
    """What shows in a document: the text in a place of the record, or what a function makes of the texts in some."""

    places: tuple[int, ...]
    derive: Derive | None = None


def _date(micros: bytes) -> bytes:
    return b"%b.%bZ" % (_second(micros[:-6]), micros[-6:])


def _nano_date(nanos: bytes) -> bytes:
    return b"%b.%bZ" % (_second(nanos[:-9]), nanos[-9:])


def _day(micros: bytes) -> bytes:
    return _second(micros[:-6])[:10].replace(b"-", b".")


def _day_of_nanos(nanos: bytes) -> bytes:
    return _second(nanos[:-9])[:10].replace(b"-", b".")


def _micros(nanos: bytes) -> bytes:
    return nanos[:-3]


def _duration(ends: tuple[bytes, bytes]) -> bytes:
    return b"%d" % max(int(ends[1]) - int(ends[0]), 0)


def _duration_micros(ends: tuple[bytes, bytes]) -> bytes:
    return b"%d" % (max(int(ends[1]) - int(ends[0]), 0) // 1000)


@lru_cache(maxsize=4096)
def _second(seconds: bytes) -> bytes:
    return moment(int(seconds) * 1_000_000)[:19].encode()


class Marked:
    """A record's item with marks, made from one that is no protobuf's, ``patterns`` of what they stand for.

    ``shown`` tells for what marks look like in a document, what shows there. It says nothing of a value that stayed.
    """

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.patterns: list[tuple[bytes, bytes]] = []
        """Of each place the mark as it is written, and the pattern of what is written there instead."""
        self.shown: dict[bytes, Source] = {}
        self._times: dict[str, tuple[int, int]] = {}
        self.item = {name: self._field(name, content) for name, content in item.items()}
        if len(self._times) > 1:
            (start, begins), (end, ends) = self._times[_START], self._times[_END]
            self.shown[b"%d" % (ends - begins)] = Source((start, end), _duration)
            self.shown[b"%d" % ((ends - begins) // 1000)] = Source((start, end), _duration_micros)

    def pattern(self) -> bytes:
        """Of the texts of all records that are written like this one; a group for each place."""
        rest, pattern = orjson.dumps(self.item), b""
        for mark, what in self.patterns:
            before, _, rest = rest.partition(mark)
            pattern += re.escape(before) + b"(" + what + b")"
        return pattern + re.escape(rest)

    def _field(self, name: str, content: Any) -> Any:
        if name == "attributes" and isinstance(content, list):
            return [self._attribute(each) for each in content]
        if name == "body":
            # As a text a double is not written as it was.
            is_double = isinstance(content, dict) and "doubleValue" in content
            return content if is_double else self._value("", content)
        if name == "status":
            return self._part(content)
        if name == "links" and isinstance(content, list):
            return [self._part(link) for link in content]
        if name in {"name", "message"}:
            return self._text(content, TEXT)
        if name in {"traceId", "spanId", "parentSpanId"}:
            digits, pattern = (32, _TRACE_ID) if name == "traceId" else (16, _SPAN_ID)
            return self._digits(content, pattern, secrets.token_hex(digits // 2))
        return self._time(name, content) if name.endswith("TimeUnixNano") or name == "timeUnixNano" else content

    def _part(self, part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        return {name: one if name in _ENDS else self._field(name, one) for name, one in part.items()}

    def _attribute(self, attribute: Any) -> Any:
        key = attribute.get("key", "") if isinstance(attribute, dict) else None
        if type(key) is not str or key in _STAY:
            return attribute
        value = attribute.get("value")
        if key in _TEXTS and not (isinstance(value, dict) and "stringValue" in value):
            return attribute
        return {name: self._value(key, one) if name == "value" else one for name, one in attribute.items()}

    def _value(self, key: str, value: Any) -> Any:
        if not isinstance(value, dict) or len(value) != 1:
            return value
        ((kind, content),) = value.items()
        return {kind: self._content(key, kind, content)}

    def _content(self, key: str, kind: str, content: Any) -> Any:
        if kind == "stringValue":
            return self._text(content, _ID if key in _IDS else TEXT)
        if kind == "intValue" and type(content) in {str, int}:
            return self._integer(key, content)
        if kind == "doubleValue" and type(content) is float:
            return self._place(content, _DOUBLE, 1 + secrets.randbelow(10**15) / 10**15)
        if kind == "arrayValue" and isinstance(content, dict) and _is_uniform(content.get("values")):
            return content | {"values": [self._value("", one) for one in content["values"]]}
        return content

    def _text(self, content: Any, pattern: bytes) -> Any:
        if type(content) is not str:
            return content
        return self._place(content, pattern, f"mark{secrets.token_hex(12)}")

    def _digits(self, content: Any, pattern: bytes, mark: str) -> Any:
        return self._place(content, pattern, mark) if type(content) is str else content

    def _integer(self, key: str, content: str | int) -> Any:
        if key in MOMENTS:
            micros = secrets.randbelow(8 * 10**15) + 10**15
            shown = {moment(micros): Source((), _date), moment(micros)[:10].replace("-", "."): Source((), _day)}
            return self._place(content, _MOMENT, type(content)(micros), shown)
        number = secrets.randbelow(8 * 10**16) + 10**16
        return self._place(content, _CLOCK if key == semconv.CLOCK else _INTEGER, type(content)(number))

    def _time(self, name: str, content: Any) -> Any:
        if type(content) is not str:
            return content
        nanos = secrets.randbelow(7 * 10**18) + 10**18
        if self._times and name in _ENDS:
            # Other than random ones they are in their order.
            ((_, other),) = self._times.values()
            nanos = other + (secrets.randbelow(10**15) + 10**14) * (1 if name == _END else -1)
        date = timestamp(nanos)
        shown = {
            date: Source((), _nano_date),
            date[:10].replace("-", "."): Source((), _day_of_nanos),
            str(nanos // 1000): Source((), _micros),
        }
        place = len(self.patterns)
        marked = self._place(content, _TIME, str(nanos), shown)
        if name in _ENDS and marked is not content:
            self._times[name] = place, nanos
        return marked

    def _place(self, content: Any, pattern: bytes, mark: Any, shown: Mapping[str, Source] | None = None) -> Any:
        """The mark; the content itself when it is none of the pattern, or empty."""
        if not _written(content) or re.fullmatch(pattern, _written(content)) is None:
            return content
        place = len(self.patterns)
        self.patterns.append((_written(mark), pattern))
        for text, source in (shown or {}).items():
            self.shown[text.encode()] = source._replace(places=(place,))
        self.shown[_written(mark)] = Source((place,))
        return mark


def _is_uniform(values: Any) -> bool:
    """Whether all are texts, or all are integers: of others a list is made whose values depend on each other."""
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        return False
    return {tuple(one) for one in values} in ({("stringValue",)}, {("intValue",)})


def _written(content: Any) -> bytes:
    """In JSON, without the quotes of a text."""
    return orjson.dumps(content).removeprefix(b'"').removesuffix(b'"')


class MarkedOrigin:
    """An origin with the same attributes, of which each is a mark."""

    def __init__(self, origin: Origin) -> None:
        values = {name: f"mark{secrets.token_hex(12)}" for name in names_of(origin)}
        tenant, scope = f"mark{secrets.token_hex(12)}", {"name": f"mark{secrets.token_hex(12)}"}
        attributes = [
            {"key": key, "value": {"stringValue": one}} for key, one in (*values.items(), (semconv.TENANT, tenant))
        ]
        self.origin = Origin({"attributes": attributes}, scope)
        marks = {name: orjson.dumps(mark) for name, mark in values.items()}
        self.shown = (tenant.encode(), *_parts(self.origin), *marks.values())
        """What each of ``values_of`` looks like in a document."""


@lru_cache(maxsize=1024)
def names_of(origin: Origin) -> tuple[str, ...]:
    """The attributes that it has; of those with the same ones documents have the same form."""
    return tuple([name for name, content in origin.attributes.items() if content is not None])


@lru_cache(maxsize=1024)
def values_of(origin: Origin) -> tuple[bytes, ...]:
    """What documents may show of it: tenant, resource, scope, and each of its attributes, all but the first in JSON."""
    attributes = [orjson.dumps(content) for content in origin.attributes.values() if content is not None]
    return (origin.tenant.encode(), *_parts(origin), *attributes)


def _parts(origin: Origin) -> tuple[bytes, bytes]:
    return orjson.dumps(origin.resource_fields), orjson.dumps(origin.scope_fields)
