"""Records that are written like one that was looked at before: the same fields and names, other values of each kind.

A *shape* is a pattern made from one record that is plainly valid (see ``survey``): names stand in it as they are, for
values it has what they may be instead. A text that fits it whole is valid JSON with no field, name or kind but those
of that first record, so it is as plainly valid, and all that is known of the names is known of it. Nothing is parsed.

Invariant, of which there is a property test: a text that fits a shape is found plain by ``survey``, with the same
names. What a pattern does not say, whether the text is UTF-8, has to be known before.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import orjson

from celeryscope import semconv
from celeryscope_collector.records import LOGS, TRACES, Signal

_TEXT: Final = rb'"[^"\\\x00-\x1f]*+(?:\\["\\bfnrt][^"\\\x00-\x1f]*+)*+"'
"""No escapes by number and no escaped slashes, so that URLs can be looked for in what is written."""
_NUMBER: Final = rb"(?:0|[1-9][0-9]{0,8}+)"
_TIME: Final = rb'"[0-9]{1,19}+"'
_TIME_THAT_IS_SET: Final = rb'"[1-9][0-9]{0,18}+"'
_TRACE_ID: Final = rb'"(?!0{32})[0-9a-f]{32}"'
_TRACE_ID_GROUP: Final = rb'"((?!0{32})[0-9a-f]{32})"'
_SPAN_ID: Final = rb'"(?!0{16})[0-9a-f]{16}"'
_INTEGER_AS_TEXT: Final = rb'"-?[0-9]{1,18}+"'
_INTEGER: Final = rb"-?(?:0|[1-9][0-9]{0,17}+)"
_FIELDS: Final = {
    "timeUnixNano": _TIME,
    "observedTimeUnixNano": _TIME,
    "startTimeUnixNano": _TIME,
    "endTimeUnixNano": _TIME,
    "severityNumber": _NUMBER,
    "droppedAttributesCount": _NUMBER,
    "droppedEventsCount": _NUMBER,
    "droppedLinksCount": _NUMBER,
    "flags": _NUMBER,
    "kind": _NUMBER,
    "code": _NUMBER,
    "traceId": _TRACE_ID,
    "spanId": _SPAN_ID,
    "parentSpanId": _SPAN_ID,
    "severityText": _TEXT,
    "traceState": _TEXT,
    "name": _TEXT,
    "message": _TEXT,
}
_SCALARS: Final = {
    "stringValue": _TEXT,
    "intValue": b"(?:%b|%b)" % (_INTEGER_AS_TEXT, _INTEGER),
    "doubleValue": rb"-?(?:0|[1-9][0-9]{0,39}+)(?:\.[0-9]{1,40}+)?+(?:[eE][-+]?[0-9]{1,2}+)?+",
    "boolValue": rb"(?:true|false)",
    "bytesValue": _TEXT,
}
_SCALAR: Final = rb"\{(?:%b)\}" % b"|".join(b'"%b":%b' % (kind.encode(), one) for kind, one in _SCALARS.items())
_SCALAR_LIST: Final = rb"\[(?:%b(?:,%b)*+)?+\]" % (_SCALAR, _SCALAR)
_TIMES_OF_LOGS: Final = ("timeUnixNano", "observedTimeUnixNano")
_DECIDING: Final = {
    semconv.ROOT_ID: rb'"([^"\\\x00-\x1f]*+)"',
    semconv.LOG_RECORD_UID: rb'"([^"\\\x00-\x1f]++)"',
}
_PATTERN_MOST: Final = 30_000
_HINTS_MOST: Final = 64
_ALIKE_MOST: Final = 4
_FREE: Final = 64
"""So many shapes are made without anything having fitted one."""
_WORTH: Final = 500
"""To make one takes some milliseconds, which so many records that fit have saved."""


class NoShape(Exception):
    """The record is not written in the way that is looked for, or has to be completed by more than its id."""


class Fit(msgspec.Struct):
    """What a text that fits says of where it goes."""

    shape: "Shape"
    key: str
    """``celery.root_id``, else the trace id; may be empty."""
    uid: str
    """Of a log record; empty when it has none."""
    end: int
    """Where in the text its attributes end, so that one can be added; 0 when it has none."""


class Shape:
    """Made from the text of a record and what it says."""

    def __init__(self, text: bytes, item: dict[str, Any], signal: Signal) -> None:
        """The item is plainly valid. Raises NoShape when the text itself would not fit."""
        made = _Pattern(item, signal)
        self.names = frozenset(made.names)
        """The names of all attributes at any depth."""
        self.most = made.most
        """The number of attributes of the record, span event or link that has most."""
        self._root, self._trace = made.groups.get(semconv.ROOT_ID, 0), made.groups.get("traceId", 0)
        self._uid, self._end = made.groups.get(semconv.LOG_RECORD_UID, 0), made.groups.get("attributes", 0)
        self._fullmatch = re.compile(made.pattern).fullmatch
        if self.fit(text) is None:
            raise NoShape

    def fit(self, text: bytes) -> Fit | None:
        """What the text says; None when it doesn't fit."""
        found = self._fullmatch(text)
        if found is None:
            return None
        root, trace, uid = self._root, self._trace, self._uid
        key = (root and found[root]) or (trace and found[trace]) or b""
        return Fit(self, key.decode(), found[uid].decode() if uid else "", found.start(self._end))


class _Pattern:
    """Writes the pattern; ``groups`` are the numbers of those whose content matters, by attribute or field."""

    def __init__(self, item: dict[str, Any], signal: Signal) -> None:
        self.names: set[str] = set()
        self.most = 0
        self.groups: dict[str, int] = {}
        self.pattern = self._record(item, signal)
        if len(self.pattern) > _PATTERN_MOST:
            raise NoShape

    def _record(self, item: dict[str, Any], signal: Signal) -> bytes:
        timed = signal is TRACES
        fields = []
        for name, content in item.items():
            if name == "attributes":
                pattern = self._attributes(content, of_record=True)
            elif name == "traceId":
                pattern = self._group(name, _TRACE_ID_GROUP)
            elif not timed and name in _TIMES_OF_LOGS and content != "0":
                timed, pattern = True, _TIME_THAT_IS_SET
            else:
                pattern = self._field(name, content)
            fields.append((name, pattern))
        if not timed or (signal is LOGS and "attributes" not in item):
            raise NoShape
        return _braced(fields)

    def _field(self, name: str, content: Any) -> bytes:
        if name == "attributes":
            return self._attributes(content)
        if name == "body":
            return self._value(content)
        if name == "status":
            return self._part(content)
        if name in {"events", "links"}:
            return _listed(map(self._part, content))
        # Known values, and records of other events have other attributes.
        return _literal(content) if name == "eventName" else _FIELDS[name]

    def _part(self, part: dict[str, Any]) -> bytes:
        return _braced([(name, self._field(name, content)) for name, content in part.items()])

    def _attributes(self, attributes: list[dict[str, Any]], *, of_record: bool = False) -> bytes:
        self.most = max(self.most, len(attributes))
        entries = [self._attribute(attribute, of_record=of_record) for attribute in attributes]
        return _listed(entries, self._group("attributes", b"()") if of_record else b"")

    def _attribute(self, attribute: dict[str, Any], *, of_record: bool) -> bytes:
        name = attribute["key"]
        self.names.add(name)
        value_of = self._deciding if of_record and name in _DECIDING else self._value_of
        return _braced([(each, _literal(name) if each == "key" else value_of(name, attribute)) for each in attribute])

    def _value_of(self, _name: str, attribute: dict[str, Any]) -> bytes:
        return self._value(attribute["value"])

    def _deciding(self, name: str, attribute: dict[str, Any]) -> bytes:
        if attribute["value"].get("stringValue"):
            return _braced([("stringValue", self._group(name, _DECIDING[name]))])
        if name == semconv.LOG_RECORD_UID:
            # It is to be replaced.
            raise NoShape
        return self._value(attribute["value"])

    def _value(self, value: dict[str, Any]) -> bytes:
        ((kind, content),) = value.items()
        if kind == "arrayValue":
            pattern = _braced([("values", self._array(content["values"]))])
        elif kind == "kvlistValue":
            pattern = _braced([("values", self._attributes(content["values"]))])
        else:
            pattern = _SCALARS[kind]
        return _braced([(kind, pattern)])

    def _array(self, members: list[dict[str, Any]]) -> bytes:
        if all(set(member) <= _SCALARS.keys() for member in members):
            return _SCALAR_LIST
        return _listed(map(self._value, members))

    def _group(self, name: str, pattern: bytes) -> bytes:
        if name in self.groups:
            raise NoShape
        self.groups[name] = len(self.groups) + 1
        return pattern


def _braced(fields: Iterable[tuple[str, bytes]]) -> bytes:
    return rb"\{" + b",".join([b'"%b":%b' % (name.encode(), pattern) for name, pattern in fields]) + rb"\}"


def _listed(members: Iterable[bytes], end: bytes = b"") -> bytes:
    return rb"\[" + b",".join(members) + end + rb"\]"


def _literal(text: str) -> bytes:
    return re.escape(orjson.dumps(text))


class Shapes:
    """Those that were seen of one signal. A memo: it changes nothing but the time that is needed."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._known: dict[bytes, tuple[Shape, ...]] = {}
        self._fits = 0
        self._learned = 0

    def fit(self, text: bytes) -> Fit | None:
        """What the text of a record says when it fits one of the shapes."""
        for shape in self._known.get(_hint(text), ()):
            found = shape.fit(text)
            if found is not None:
                self._fits += 1
                return found
        return None

    def learn(self, text: bytes, item: dict[str, Any]) -> None:
        """Of a record that is plainly valid and did not fit. Seldom, when most records are new."""
        if self._learned >= _FREE + self._fits // _WORTH:
            return
        self._learned += 1
        try:
            shape = Shape(text, item, self._signal)
        except NoShape:
            return
        hint = _hint(text)
        if hint not in self._known and len(self._known) >= _HINTS_MOST:
            self._known.clear()
        self._known[hint] = (shape, *self._known.get(hint, ()))[:_ALIKE_MOST]


def _hint(text: bytes) -> bytes:
    """Something that records of one shape have in common, and most others have not: the name of the last attribute."""
    start = text.rfind(b'"key":"') + 7
    return text[start : text.find(b'"', start)]
