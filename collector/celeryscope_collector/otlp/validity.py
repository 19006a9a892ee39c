"""Whether one span or log record is what OTLP/JSON says it is.

Everything behind this module trusts the types checked here: a record that passes can be processed and encoded without
an exception. Fields that OTLP does not know are dropped, as the specification asks of a receiver (they would also be a
way around redaction), and so are fields that are null, which stands for protobuf's default value.
"""

import re
from collections.abc import Callable, Container
from math import isfinite
from typing import Any, Final, TypeAlias

from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from celeryscope.errors import Rejected
from celeryscope_collector.records import LOGS, TRACES

MAX_DEPTH: Final = 16
"""How deep arrays and maps may nest inside one value."""

Check: TypeAlias = Callable[[Any], bool]

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_SPAN_ID = re.compile(r"[0-9a-fA-F]{16}")
_UINT64 = re.compile(r"[0-9]{1,20}")
_INT64 = re.compile(r"-?[0-9]{1,19}")
_UINT64_MAX = 2**64 - 1
_INT64_MAX = 2**63 - 1
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_DECIMAL = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][-+]?[0-9]{1,3})?")
_ENUMERATIONS: Final[dict[str, dict[str, int]]] = {
    "kind": dict(Span.SpanKind.items()),
    "severityNumber": dict(SeverityNumber.items()),
    "code": dict(Status.StatusCode.items()),
}
"""Numbers by the names that protobuf's own JSON has for them; OTLP/JSON has the numbers, but some senders don't."""


def checked_span(item: Any) -> dict[str, Any]:
    """The span itself, its ids in lower case. Raises Rejected with a reason fit for a metric label."""
    _check_fields(item, _SPAN, "malformed_span")
    for name, pattern in (("traceId", _TRACE_ID), ("spanId", _SPAN_ID)):
        if not _is_id(item.get(name), pattern):
            raise Rejected("invalid_ids")
    for part in (item, *item.get("links", ())):
        _lower_ids(part)
    return item  # type: ignore[no-any-return]


def checked_log(item: Any) -> dict[str, Any]:
    """The log record itself, its ids in lower case. Raises Rejected with a reason fit for a metric label."""
    _check_fields(item, _LOG, "malformed_log_record")
    for name, pattern in (("traceId", _TRACE_ID), ("spanId", _SPAN_ID)):
        identifier = item.get(name)
        if not identifier or (type(identifier) is str and not identifier.strip("0")):
            # Absent; OTLP's senders also spell that as zeros.
            item.pop(name, None)
        elif not _is_id(identifier, pattern):
            raise Rejected("invalid_ids")
    _lower_ids(item)
    return item  # type: ignore[no-any-return]


def checked_origin(part: Any) -> dict[str, Any]:
    """A resource or scope; Rejected when it is malformed (and with it all its records)."""
    if part is None:
        return {}
    try:
        _check_fields(part, _ORIGIN, "malformed_resource")
    except Rejected:
        raise Rejected("malformed_resource") from None
    return part  # type: ignore[no-any-return]


def checked_attributes(attributes: Any) -> list[dict[str, Any]]:
    """The attributes themselves, with what is absent in them set; Rejected when they are malformed."""
    if not _are_attributes(attributes):
        raise Rejected("malformed_attributes")
    return attributes  # type: ignore[no-any-return]


def _check_fields(item: Any, checks: dict[str, Check], reason: str) -> None:
    if type(item) is not dict:
        raise Rejected(reason)
    unfit = _unfit(item, checks)
    if unfit is not None:
        raise Rejected(reason if unfit not in {"body", "attributes"} else f"malformed_{unfit}")


def _unfit(part: dict[str, Any], checks: dict[str, Check]) -> str | None:
    """The first field that its check refuses; fields that are unknown or null are dropped on the way."""
    _drop_unknown(part, checks)
    for name, value in part.items():
        if not checks[name](value):
            return name
        if name in _ENUMERATIONS:
            part[name] = _number_of(name, value)
    return None


def _drop_unknown(part: dict[str, Any], known: Container[str]) -> None:
    for name in [name for name, value in part.items() if value is None or name not in known]:
        del part[name]


def _is_id(identifier: Any, pattern: re.Pattern[str]) -> bool:
    return type(identifier) is str and pattern.fullmatch(identifier) is not None and identifier.strip("0") != ""


def _lower_ids(item: dict[str, Any]) -> None:
    for name in ("traceId", "spanId", "parentSpanId"):
        identifier = item.get(name)
        if identifier is None:
            continue
        if identifier.strip("0"):
            item[name] = identifier.lower()
        else:
            del item[name]


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_whole(value: Any) -> bool:
    # Both spellings of an integer.
    if type(value) is str:
        return _INT64.fullmatch(value) is not None and -_INT64_MAX - 1 <= int(value) <= _INT64_MAX
    return type(value) is int and -_INT64_MAX - 1 <= value <= _INT64_MAX


def _is_one_of(enumeration: str) -> Check:
    names = _ENUMERATIONS[enumeration]
    return lambda value: (type(value) is str and value in names) or _is_whole(value)


def _number_of(enumeration: str, value: int | str) -> int:
    number = _ENUMERATIONS[enumeration].get(value) if type(value) is str else None
    return int(value) if number is None else number


def _is_time(value: Any) -> bool:
    if type(value) is str:
        return _UINT64.fullmatch(value) is not None and int(value) <= _UINT64_MAX
    return type(value) is int and 0 <= value <= _UINT64_MAX


def _is_number(value: Any) -> bool:
    if type(value) is str:
        return value in _NOT_FINITE or (_DECIMAL.fullmatch(value) is not None and isfinite(float(value)))
    return type(value) in {int, float}


def _is_parent(value: Any) -> bool:
    # A root span's is empty, and some senders spell that as zeros.
    return type(value) is str and (value.strip("0") == "" or _SPAN_ID.fullmatch(value) is not None)


def _is_value(value: Any, depth: int = 0) -> bool:
    if type(value) is not dict or depth > MAX_DEPTH:
        return False
    _drop_unknown(value, _KINDS)
    if len(value) > 1:
        return False
    for kind, content in value.items():
        check = _SIMPLE_VALUES.get(kind)
        if not (check(content) if check is not None else _is_compound(kind, content, depth + 1)):
            return False
        if kind == "doubleValue" and type(content) is str and content not in _NOT_FINITE:
            value[kind] = float(content)
    return True


def _is_compound(kind: str, content: Any, depth: int) -> bool:
    if type(content) is not dict:
        return False
    _drop_unknown(content, {"values"})
    members = content.get("values", [])
    if type(members) is not list:
        return False
    if kind == "kvlistValue":
        return _are_attributes(members, depth)
    return all(_is_value(member, depth) for member in members)


def _are_attributes(attributes: Any, depth: int = 0) -> bool:
    if type(attributes) is not list:
        return False
    for attribute in attributes:
        # The hot loop of the collector: most attributes are a key and one plain value.
        if type(attribute) is dict and len(attribute) == 2 and type(attribute.get("key")) is str:
            value = attribute.get("value")
            if type(value) is dict and len(value) == 1:
                ((kind, content),) = value.items()
                if type(content) is _PLAIN_TYPES.get(kind):
                    continue
        if not _is_attribute(attribute, depth):
            return False
    return True


def _is_attribute(attribute: Any, depth: int) -> bool:
    if type(attribute) is not dict:
        return False
    _drop_unknown(attribute, {"key", "value"})
    # What is absent is protobuf's default value.
    return type(attribute.setdefault("key", "")) is str and _is_value(attribute.setdefault("value", {}), depth)


def _are(checks: dict[str, Check]) -> Check:
    def check(members: Any) -> bool:
        return type(members) is list and all(
            type(member) is dict and _unfit(member, checks) is None for member in members
        )

    return check


def _is_status(value: Any) -> bool:
    return type(value) is dict and _unfit(value, _STATUS) is None


_SIMPLE_VALUES: Final[dict[str, Check]] = {
    "stringValue": _is_text,
    "intValue": _is_whole,
    "boolValue": _is_bool,
    "doubleValue": _is_number,
    "bytesValue": _is_text,
}
_KINDS: Final = frozenset({*_SIMPLE_VALUES, "arrayValue", "kvlistValue"})
_PLAIN_TYPES: Final = {"stringValue": str, "boolValue": bool, "doubleValue": float}
_STATUS: Final[dict[str, Check]] = {"code": _is_one_of("code"), "message": _is_text}
_ORIGIN: Final[dict[str, Check]] = {
    "name": _is_text,
    "version": _is_text,
    "attributes": _are_attributes,
    "droppedAttributesCount": _is_whole,
}
_LOG: Final[dict[str, Check]] = {
    "timeUnixNano": _is_time,
    "observedTimeUnixNano": _is_time,
    "severityNumber": _is_one_of("severityNumber"),
    "severityText": _is_text,
    "body": _is_value,
    "attributes": _are_attributes,
    "droppedAttributesCount": _is_whole,
    "flags": _is_whole,
    "traceId": _is_text,
    "spanId": _is_text,
    "eventName": _is_text,
}
_EVENT: Final[dict[str, Check]] = {
    "timeUnixNano": _is_time,
    "name": _is_text,
    "attributes": _are_attributes,
    "droppedAttributesCount": _is_whole,
}
_LINK: Final[dict[str, Check]] = {
    "traceId": _is_text,
    "spanId": _is_text,
    "traceState": _is_text,
    "attributes": _are_attributes,
    "droppedAttributesCount": _is_whole,
    "flags": _is_whole,
}
_SPAN: Final[dict[str, Check]] = {
    "traceId": _is_text,
    "spanId": _is_text,
    "traceState": _is_text,
    "parentSpanId": _is_parent,
    "flags": _is_whole,
    "name": _is_text,
    "kind": _is_one_of("kind"),
    "startTimeUnixNano": _is_time,
    "endTimeUnixNano": _is_time,
    "attributes": _are_attributes,
    "droppedAttributesCount": _is_whole,
    "events": _are(_EVENT),
    "droppedEventsCount": _is_whole,
    "links": _are(_LINK),
    "droppedLinksCount": _is_whole,
    "status": _is_status,
}
CHECKS: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {TRACES.kind: checked_span, LOGS.kind: checked_log}
"""What checks an item, by the kind of its signal."""
