"""Secrets do not leave the collector: values under telling names, and passwords in URLs, become ``[redacted]``."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from celeryscope_collector.processors import ForTenant, in_place
from celeryscope_collector.records import Origin

REDACTED: Final = "[redacted]"
DENIED: Final = (
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
    "set_cookie",
    "private_key",
    "credential",
)
"""A value is a secret when its key contains one of these in any spelling: case, ``-``, ``_``, ``.`` don't matter."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What follows "://": a user, maybe empty, a colon, and the password up to the last @ of this URL. The password never
# runs across whitespace, quotes or the next "://", so the search stays linear; a port before a path is not one.
_USERINFO = re.compile(r"""://([^\s:/@?#"'<>]*):(?!\d{1,5}[/?#])((?:(?!://)[^\s"'<>])+)@""")


def secret_keys(more: Iterable[str], keep: Iterable[str]) -> Callable[[str], bool]:
    """A function that tells whether a key names a secret; ``keep`` lists exact keys that never do."""
    terms = (_spelled(term) for term in (*DENIED, *more))
    pattern = re.compile("|".join(re.escape(term) for term in terms))
    kept = frozenset(keep)

    @lru_cache(maxsize=8192)
    def is_secret(key: str) -> bool:
        return key not in kept and pattern.search(_spelled(key)) is not None

    return is_secret


def redact_text(text: str) -> str:
    """The text with the password of each ``scheme://user:password@host`` redacted."""
    if "://" not in text or "@" not in text:
        return text
    return _USERINFO.sub(r"://\1:" + REDACTED + "@", text)


def redaction(more: Iterable[str] = (), keep: Iterable[str] = ()) -> ForTenant:
    """The processor, once for all tenants; ``more`` extends the denied terms, ``keep`` names keys to leave alone."""
    is_secret = secret_keys(more, keep)

    def clean(origin: Origin) -> Origin:
        redact_attributes(origin.resource.get("attributes", ()), is_secret)
        redact_attributes(origin.scope.get("attributes", ()), is_secret)
        return origin

    return in_place(clean, lambda item: redact_item(item, is_secret))


def redact_item(item: dict[str, Any], is_secret: Callable[[str], bool]) -> None:
    """Redact a span or log record in place: attributes, body, status, span events and links."""
    redact_attributes(item.get("attributes", ()), is_secret)
    body = item.get("body")
    if body:
        item["body"] = _redacted_value(body, is_secret)
    status = item.get("status")
    if status and "message" in status:
        status["message"] = redact_text(status["message"])
    for part in (*item.get("events", ()), *item.get("links", ())):
        redact_attributes(part.get("attributes", ()), is_secret)


def redact_attributes(attributes: Iterable[dict[str, Any]], is_secret: Callable[[str], bool]) -> None:
    """Redact a list of ``{"key", "value"}`` in place."""
    for attribute in attributes:
        value = attribute["value"]
        key = attribute["key"]
        if is_secret(key) and not _is_count(key, value):
            attribute["value"] = {"stringValue": REDACTED}
            continue
        text = value.get("stringValue")
        if text is None:
            attribute["value"] = _redacted_value(value, is_secret)
        elif "://" in text:
            value["stringValue"] = redact_text(text)


def _redacted_value(value: dict[str, Any], is_secret: Callable[[str], bool]) -> dict[str, Any]:
    if "stringValue" in value:
        return {"stringValue": redact_text(value["stringValue"])}
    if "arrayValue" in value:
        members = value["arrayValue"].get("values", ())
        return {"arrayValue": {"values": [_redacted_value(member, is_secret) for member in members]}}
    if "kvlistValue" in value:
        redact_attributes(value["kvlistValue"].get("values", ()), is_secret)
    return value


def _is_count(key: str, value: dict[str, Any]) -> bool:
    # A flag is never a secret, and a number of tokens is not a token.
    return "boolValue" in value or ("token" in key.lower() and ("intValue" in value or "doubleValue" in value))


def _spelled(name: str) -> str:
    return _CAMEL.sub("_", name).lower().replace("-", "_").replace(".", "_")
