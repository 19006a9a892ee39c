"""What builders of documents have in common: checks of what a document can't do without, and its first fields."""

import re
from functools import lru_cache
from typing import Any, Final

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import LONG_MOST, as_document, is_moment, moment, nanos
from celeryscope_pipelines.records import Record

_DATASET: Final = "celery.otel"
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_ID_MOST: Final = 512
_ALIASES: Final = frozenset({"trace.id", "span.id", "error.stack_trace"})


@lru_cache(maxsize=1024)
def check_tenant(tenant: str) -> None:
    """Raises Rejected for a tenant that can't be part of a data stream's name."""
    if _TENANT.fullmatch(tenant) is None:
        raise Rejected("bad_tenant", f"{semconv.TENANT} needs lower-case letters, digits, dots, _ and - only.")


def checked_id(text: str) -> str:
    """The text as a document's id. Raises Rejected when it is longer than Elasticsearch takes."""
    if len(text) * 4 > _ID_MOST and len(text.encode()) > _ID_MOST:
        raise Rejected("id_too_long", f"A document's id has at most {_ID_MOST} bytes.")
    return text


def clock_of(record: Record) -> int:
    """The record's clock, the version of its entity. Raises Rejected when it has none."""
    clock = record.attributes.get(semconv.CLOCK)
    if type(clock) is not int or not 0 < clock <= LONG_MOST:
        raise Rejected("event_without_clock", f"{record.event_name} needs a positive {semconv.CLOCK}.")
    return clock


def name_of(record: Record, key: str) -> str:
    """The attribute that an entity is named by. Raises Rejected when it is missing."""
    name = record.attributes.get(key)
    if not isinstance(name, str) or not name:
        raise Rejected("event_without_name", f"{record.event_name} needs {key}.")
    return name


def log_time(record: Record) -> int:
    """Nanoseconds of a log record: when it happened, else when it was observed; 0 when neither is known."""
    return nanos(record.item.get("timeUnixNano")) or nanos(record.item.get("observedTimeUnixNano"))


def entity_fields(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes as an entity's fields, which stand at the top of its document.

    Names that are Elasticsearch's own there (``_id``) lose their underscore; those of the templates' aliases, which
    can't be written to, are left out.
    """
    fields = as_document(attributes)
    # Asked of all names at once; a line feed in one of them only makes it think so.
    if not _ALIASES.isdisjoint(fields) or "\n_" in "\n".join(("", *fields)):
        return {name.lstrip("_") or "unnamed": found for name, found in fields.items() if name not in _ALIASES}
    return fields


def add_trace(body: dict[str, Any], record: Record) -> None:
    """Add ``trace_id`` and ``span_id``, those that the record has."""
    if trace_id := record.trace_id:
        body["trace_id"] = trace_id
    if span_id := record.span_id:
        body["span_id"] = span_id


def add_arrival(body: dict[str, Any], record: Record) -> None:
    """Add when the record was put into Kafka, if that is known."""
    if is_moment(record.arrived * 1000):
        body[semconv.ARRIVED_AT] = moment(record.arrived * 1000)


def envelope(record: Record, kind: str) -> tuple[str, dict[str, Any]]:
    """The data stream ("logs" or "traces" of the tenant) and the start of a document in it, in OTel-native shape."""
    origin = record.origin
    index, stream = _stream(kind, origin.tenant)
    return index, {"data_stream": stream, "resource": origin.resource_fields, "scope": origin.scope_fields}


@lru_cache(maxsize=1024)
def _stream(kind: str, tenant: str) -> tuple[str, dict[str, str]]:
    return f"{kind}-{_DATASET}-{tenant}", {"type": kind, "dataset": _DATASET, "namespace": tenant}
