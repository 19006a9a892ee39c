"""No single record is without measure: long values are cut in the middle, too many attributes are dropped.

An error stands at the end of its traceback and its cause at the beginning, so both ends are kept.
"""

from dataclasses import dataclass
from typing import Any, Final

from celeryscope import semconv
from celeryscope_collector.processors import ForTenant, Processor, Survey
from celeryscope_collector.records import IDENTITIES, Origin, Record

_OURS: Final = ("celery.", "exception.", "log.record.", "messaging.", "service.")
"""Attributes that are kept first when there are too many."""

_STACKS: Final = frozenset({semconv.EXCEPTION_STACKTRACE, semconv.STACK_TRACE})


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes of UTF-8, and the number of attributes of one record, span event or resource."""

    attributes: int = 256
    value: int = 64 * 1024
    stacktrace: int = 512 * 1024
    body: int = 64 * 1024


def cut(text: str, limit: int) -> str:
    """The text, or its two ends around a marker that tells its size; at most ``limit`` bytes (of 64 or more)."""
    if len(text) * 4 <= limit:
        return text
    data = text.encode()
    if len(data) <= limit:
        return text
    marker = f"\n[... {len(data)} bytes, cut by the collector ...]\n".encode()
    room = max(limit - len(marker), 0)
    head, tail = data[: room // 2], data[len(data) - (room - room // 2) :]
    # An end may fall into the middle of a character: leave the broken one out.
    return head.decode(errors="ignore") + marker.decode() + tail.decode(errors="ignore")


def limits(bounds: Limits) -> ForTenant:
    """The processor; names of shortened attributes are in ``celery.cut``, dropped ones counted by OTLP's field."""

    def bounded(origin: Origin) -> Origin:
        for part in (origin.resource, origin.scope):
            limit_attributes(part, bounds)
        return origin

    def limit(record: Record) -> Record:
        limit_item(record.item, bounds)
        return record

    least = min(bounds.value, bounds.stacktrace, bounds.body)

    def leaves(survey: Survey) -> bool:
        return survey.longest <= least and survey.most <= bounds.attributes

    processor = Processor(bounded, limit, leaves)
    return lambda _tenant: processor


def limit_item(item: dict[str, Any], bounds: Limits) -> None:
    """Bound a span or log record in place."""
    names = limit_attributes(item, bounds)
    body = item.get("body")
    if body and _limit_value(body, bounds.body):
        names.append("body")
    status = item.get("status")
    if status and "message" in status:
        status["message"] = cut(status["message"], bounds.value)
    for event in item.get("events", ()):
        names += limit_attributes(event, bounds)
    for link in item.get("links", ()):
        limit_attributes(link, bounds)
    if names:
        _mark(item, names)


def _mark(item: dict[str, Any], names: list[str]) -> None:
    # The sender may have cut some itself, and said so under the same name.
    values = [{"stringValue": name} for name in dict.fromkeys(names)]
    attributes = item.setdefault("attributes", [])
    for attribute in attributes:
        if attribute["key"] == semconv.CUT and "arrayValue" in attribute["value"]:
            earlier = attribute["value"]["arrayValue"].setdefault("values", [])
            earlier += [value for value in values if value not in earlier]
            return
    attributes.append({"key": semconv.CUT, "value": {"arrayValue": {"values": values}}})


def limit_attributes(part: dict[str, Any], bounds: Limits) -> list[str]:
    """Bound the attributes of an item, event or resource in place; the names of those that were shortened."""
    attributes = part.get("attributes")
    if not attributes:
        return []
    if len(attributes) > bounds.attributes:
        dropped = len(attributes) - bounds.attributes
        attributes = part["attributes"] = _most_wanted(attributes, bounds.attributes)
        # OTLP counts them in 32 bits.
        part["droppedAttributesCount"] = min(int(part.get("droppedAttributesCount", 0)) + dropped, 2**32 - 1)
    names = []
    for attribute in attributes:
        value = attribute["value"]
        text = value.get("stringValue")
        # A quick way for the short strings that most values are: a character has at most four bytes.
        if text is not None and len(text) * 4 <= bounds.value:
            continue
        limit = bounds.stacktrace if attribute["key"] in _STACKS else bounds.value
        if _limit_value(value, limit):
            names.append(attribute["key"])
    return names


def _most_wanted(attributes: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    def rank(attribute: dict[str, Any]) -> tuple[bool, bool, bool]:
        key = attribute["key"]
        # The tenant by itself: a sender may repeat the other names as often as it likes.
        return key != semconv.TENANT, key not in IDENTITIES, not key.startswith(_OURS)

    return sorted(attributes, key=rank)[:number]


def _limit_value(value: dict[str, Any], limit: int) -> bool:
    # True when something was shortened; the value is changed in place.
    if "stringValue" in value:
        whole = value["stringValue"]
        value["stringValue"] = cut(whole, limit)
        return value["stringValue"] is not whole
    if "bytesValue" in value:
        if len(value["bytesValue"]) <= limit:
            return False
        # Half of a base64 text would be something else than half of the bytes.
        size = len(value.pop("bytesValue"))
        value["stringValue"] = f"[{size} bytes of base64, cut by the collector]"
        return True
    if "arrayValue" in value:
        return sum(_limit_value(member, limit) for member in value["arrayValue"].get("values", ())) > 0
    if "kvlistValue" in value:
        members = value["kvlistValue"].get("values", ())
        return sum(_limit_value(member["value"], limit) for member in members) > 0
    return False
