"""Schemas with which protobuf's parser tells in one go what is in many records, without an object for each of them.

They describe the same bytes as OTLP's own, with one difference. What OTLP calls repeated messages (records, attributes)
is one message here, and what is one text there is repeated here. A message field that comes again is merged with what
came before, so says protobuf's encoding: ``attributes.key`` holds the keys of all attributes of all records.
"""

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_NUMBER: Final = {
    "double": _Field.TYPE_DOUBLE,
    "int64": _Field.TYPE_INT64,
    "int32": _Field.TYPE_INT32,
    "uint32": _Field.TYPE_UINT32,
    "fixed64": _Field.TYPE_FIXED64,
    "fixed32": _Field.TYPE_FIXED32,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
_PACKAGE: Final = "celeryscope.wire"
# "type number name", and * for repeated.
_MESSAGES: Final = {
    "Value": "string* 1 text, bool 2 bool, int64 3 int, double 4 double, Array 5 array, Map 6 map, bytes* 7 bytes",
    "Array": "Value 1 values",
    "Map": "Attributes 1 values",
    # Names are bytes: a string is checked each time it comes, names are checked where each stands once.
    "Attributes": "bytes* 1 key, Value 2 value",
    "Log": "fixed64 1 time, int32 2 severity, string 3 severity_text, Value 5 body, Attributes 6 attributes, "
    "uint32 7 dropped, fixed32 8 flags, bytes* 9 trace_id, bytes* 10 span_id, fixed64 11 observed, string 12 event",
    "Event": "fixed64 1 time, string 2 name, Attributes 3 attributes, uint32 4 dropped",
    "Link": "bytes* 1 trace_id, bytes* 2 span_id, string 3 state, Attributes 4 attributes, uint32 5 dropped, "
    "fixed32 6 flags",
    "Status": "string 2 message, int32 3 code",
    "Span": "bytes 1 trace_id, bytes 2 span_id, string 3 state, bytes 4 parent, string 5 name, int32 6 kind, "
    "fixed64 7 start, fixed64 8 end, Attributes 9 attributes, uint32 10 dropped, Event 11 events, "
    "uint32 12 dropped_events, Link 13 links, uint32 14 dropped_links, Status 15 status, fixed32 16 flags",
    "Logs": "Log 2 records",
    "Spans": "Span 2 records",
    # Of one record: its keys, and beside each the bytes of its value.
    "Keys": "bytes* 1 key",
    "Pairs": "bytes* 1 key, bytes* 2 value",
    "LogRoute": "fixed64 1 time, Pairs 6 attributes, bytes 9 trace_id, fixed64 11 observed",
    "EventRoute": "Keys 3 attributes",
    "LinkRoute": "Keys 4 attributes",
    "SpanRoute": "bytes 1 trace_id, bytes 2 span_id, bytes 4 parent, Pairs 9 attributes, EventRoute 11 events, "
    "LinkRoute 13 links",
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="celeryscope_wire.proto", package=_PACKAGE, syntax="proto3")
    for name, described in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for line in described.split(", "):
            kind, number, field_name = line.split(" ")
            field = message.field.add(name=field_name, number=int(number))
            field.label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
            if kind in _MESSAGES:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = _NUMBER[kind.removesuffix("*")]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return dict(message_factory.GetMessageClassesForFiles([file.name], pool))


_made = _classes()
LOGS: Final = _made[f"{_PACKAGE}.Logs"]
"""The log records of a scope, as they stand in a ScopeLogs: all of them merged."""
SPANS: Final = _made[f"{_PACKAGE}.Spans"]
"""The spans of a scope, as they stand in a ScopeSpans: all of them merged."""
LOG_ROUTE: Final = _made[f"{_PACKAGE}.LogRoute"]
"""One log record: what decides where it goes."""
SPAN_ROUTE: Final = _made[f"{_PACKAGE}.SpanRoute"]
"""One span: what decides where it goes."""
