"""Secrets do not leave the collector: values under telling names, and passwords in URLs, become ``[redacted]``."""

from collections.abc import Callable, Iterable
from typing import Any

from celeryscope.redaction import REDACTED, Redactor, redact_urls, tells_nothing
from celeryscope_collector.processors import ForTenant, Processor, Survey
from celeryscope_collector.records import IDENTITIES, Origin, Record


def redaction(more: Iterable[str] = (), keep: Iterable[str] = ()) -> ForTenant:
    """The processor, once for all tenants; ``more`` extends the denied names, ``keep`` names keys to leave alone.

    The names are those of the instrumentation; what tells records and tenants apart never is secret. Texts were
    redacted by their sender, who knows what they are: here only passwords in URLs are looked for.
    """
    is_secret = Redactor(more, (*keep, *IDENTITIES)).is_secret

    def clean(origin: Origin) -> Origin:
        redact_attributes(origin.resource.get("attributes", ()), is_secret)
        redact_attributes(origin.scope.get("attributes", ()), is_secret)
        return origin

    def redact(record: Record) -> Record:
        redact_item(record.item, is_secret)
        return record

    def leaves(survey: Survey) -> bool:
        return not survey.url_passwords and not any(map(is_secret, survey.names))

    processor = Processor(clean, redact, leaves)
    return lambda _tenant: processor


def redact_item(item: dict[str, Any], is_secret: Callable[[str], bool]) -> None:
    """Redact a span or log record in place: attributes, body, status, span events and links."""
    redact_attributes(item.get("attributes", ()), is_secret)
    body = item.get("body")
    if body:
        item["body"] = _redacted_value(body, is_secret)
    status = item.get("status")
    if status and "message" in status:
        status["message"] = redact_urls(status["message"])
    for part in (*item.get("events", ()), *item.get("links", ())):
        redact_attributes(part.get("attributes", ()), is_secret)


def redact_attributes(attributes: Iterable[dict[str, Any]], is_secret: Callable[[str], bool]) -> None:
    """Redact a list of ``{"key", "value"}`` in place."""
    for attribute in attributes:
        value = attribute["value"]
        key = attribute["key"]
        if is_secret(key) and not _tells_nothing(key, value):
            attribute["value"] = {"stringValue": REDACTED}
            continue
        text = value.get("stringValue")
        if text is None:
            attribute["value"] = _redacted_value(value, is_secret)
        elif "://" in text:
            value["stringValue"] = redact_urls(text)


def _redacted_value(value: dict[str, Any], is_secret: Callable[[str], bool]) -> dict[str, Any]:
    if "stringValue" in value:
        return {"stringValue": redact_urls(value["stringValue"])}
    if "arrayValue" in value:
        members = value["arrayValue"].get("values", ())
        return {"arrayValue": {"values": [_redacted_value(member, is_secret) for member in members]}}
    if "kvlistValue" in value:
        redact_attributes(value["kvlistValue"].get("values", ()), is_secret)
    return value


def _tells_nothing(key: str, value: dict[str, Any]) -> bool:
    if "boolValue" in value:
        return tells_nothing(key, True)
    return ("intValue" in value or "doubleValue" in value) and tells_nothing(key, 0)
