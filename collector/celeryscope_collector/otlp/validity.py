"""Whether one span or log record is what OTLP/JSON says it is.

Everything behind this module trusts the types checked here: a record that passes can be processed and encoded without
an exception. Fields that OTLP does not know are dropped, as the specification asks of a receiver (they would also be a
way around redaction), and so are fields that are null, which stands for protobuf's default value.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from celeryscope.errors import Rejected

MAX_DEPTH: Final = 16
"""How deep arrays and maps may nest inside one value."""

Check: TypeAlias = Callable[[Any], bool]

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_SPAN_ID = re.compile(r"[0-9a-fA-F]{16}")
_UINT64 = re.compile(r"[0-9]{1,20}")
_INT64 = re.compile(r"-?[0-9]{1,19}")
_UINT64_MAX = 2**64 - 1
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})


def checked_span(item: Any) -> dict[str, Any]:
    """The span itself, its ids in lower case. Raises Rejected with a reason fit for a metric label."""
    _check_fields(item, _SPAN, "malformed_span")
    for name, pattern in (("traceId", _TRACE_ID), ("spanId", _SPAN_ID)):
        if not _is_id(item.get(name), pattern):
            raise Rejected("invalid_ids")
    _lower_ids(item)
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


def _check_fields(item: Any, checks: dict[str, Check], reason: str) -> None:
    if type(item) is not dict:
        raise Rejected(reason)
    dropped = []
    for name, value in item.items():
        check = checks.get(name)
        if check is None or value is None:
            dropped.append(name)
        elif not check(value):
            raise Rejected(reason if name not in {"body", "attributes"} else f"malformed_{name}")
    for name in dropped:
        del item[name]


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
    # Both spellings of a 64-bit integer; enumerations and 32-bit integers are numbers only, but little depends on it.
    return type(value) is int or (type(value) is str and _INT64.fullmatch(value) is not None)


def _is_time(value: Any) -> bool:
    if type(value) is str:
        return _UINT64.fullmatch(value) is not None and int(value) <= _UINT64_MAX
    return type(value) is int and 0 <= value <= _UINT64_MAX


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} or (type(value) is str and value in _NOT_FINITE)


def _is_parent(value: Any) -> bool:
    # A root span's is empty, and some senders spell that as zeros.
    return type(value) is str and (value.strip("0") == "" or _SPAN_ID.fullmatch(value) is not None)


def _is_value(value: Any, depth: int = 0) -> bool:
    if type(value) is not dict or len(value) > 1 or depth > MAX_DEPTH:
        return False
    for kind, content in value.items():
        check = _SIMPLE_VALUES.get(kind)
        return check(content) if check is not None else _is_compound(kind, content, depth + 1)
    return True


def _is_compound(kind: str, content: Any, depth: int) -> bool:
    if kind not in {"arrayValue", "kvlistValue"} or type(content) is not dict:
        return False
    members = content.get("values", [])
    if type(members) is not list or not content.keys() <= {"values"}:
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
    if type(attribute) is not dict or type(attribute.get("key")) is not str:
        return False
    if attribute.get("value") is None:
        attribute["value"] = {}
    return len(attribute) == 2 and _is_value(attribute["value"], depth)


def _are(checks: dict[str, Check]) -> Check:
    def check(members: Any) -> bool:
        return type(members) is list and all(
            type(member) is dict and all(name in checks and checks[name](value) for name, value in member.items())
            for member in members
        )

    return check


def _is_status(value: Any) -> bool:
    return _are({"code": _is_whole, "message": _is_text})([value])


_SIMPLE_VALUES: Final[dict[str, Check]] = {
    "stringValue": _is_text,
    "intValue": _is_whole,
    "boolValue": _is_bool,
    "doubleValue": _is_number,
    "bytesValue": _is_text,
}
_PLAIN_TYPES: Final = {"stringValue": str, "intValue": int, "boolValue": bool, "doubleValue": float}
_ORIGIN: Final[dict[str, Check]] = {
    "name": _is_text,
    "version": _is_text,
    "attributes": _are_attributes,
    "droppedAttributesCount": _is_whole,
}
_LOG: Final[dict[str, Check]] = {
    "timeUnixNano": _is_time,
    "observedTimeUnixNano": _is_time,
    "severityNumber": _is_whole,
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
    "kind": _is_whole,
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
