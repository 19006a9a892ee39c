"""One span or log record together with where it came from, as it stands in Kafka: plain dicts of OTLP/JSON."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from celeryscope import semconv
from celeryscope_pipelines.attributes import as_document, identifier, plain

SPAN: Final = "span"
LOG: Final = "log"


class Origin:
    """Resource and scope that many records share; what is derived from them is made once."""

    def __init__(self, resource: dict[str, Any], scope: dict[str, Any], schema_url: str = "") -> None:
        self.resource = resource
        self.scope = scope
        self.schema_url = schema_url

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        return plain(self.resource.get("attributes"))

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The resource's attributes without our tenant."""
        return {key: value for key, value in self._attributes.items() if key != semconv.TENANT}

    @cached_property
    def tenant(self) -> str:
        """Whose data it is; the collector says so."""
        return str(self._attributes.get(semconv.TENANT) or semconv.DEFAULT_TENANT)

    @cached_property
    def resource_fields(self) -> dict[str, Any]:
        """The resource as documents of the data streams have it; one dict for all of them, not to be changed."""
        fields: dict[str, Any] = {"attributes": {**as_document(self.attributes), "agent.name": "celeryscope"}}
        return fields | ({"schema_url": self.schema_url} if self.schema_url else {})

    @cached_property
    def scope_fields(self) -> dict[str, Any]:
        """The scope as documents of the data streams have it; one dict for all of them, not to be changed."""
        fields: dict[str, Any] = {key: str(self.scope[key]) for key in ("name", "version") if self.scope.get(key)}
        attributes = as_document(plain(self.scope.get("attributes")))
        return fields | ({"attributes": attributes} if attributes else {})


@dataclass(slots=True)
class Record:
    """A record of kind ``SPAN`` or ``LOG``; ``attributes`` are the item's own, as plain values."""

    kind: str
    origin: Origin
    item: dict[str, Any]
    attributes: dict[str, Any]

    @property
    def event_name(self) -> str:
        """The event's name; empty for a span or a log line."""
        name = self.item.get("eventName")
        return name if isinstance(name, str) else ""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty when it has none."""
        return identifier(self.item.get("traceId"), 32)

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits; empty when it has none."""
        return identifier(self.item.get("spanId"), 16)

    @property
    def identity(self) -> str:
        """What makes the record the same record however often it comes; empty when it has none."""
        if self.kind == SPAN:
            trace_id, span_id = self.trace_id, self.span_id
            return f"{trace_id}{span_id}" if trace_id and span_id else ""
        uid = self.attributes.get(semconv.LOG_RECORD_UID)
        return uid if isinstance(uid, str) else ""

    def as_request(self) -> dict[str, Any]:
        """The OTLP request that holds this record alone."""
        outer, inner, leaf = KEYS[self.kind]
        by_resource: dict[str, Any] = {
            "resource": self.origin.resource,
            inner: [{"scope": self.origin.scope, leaf: [self.item]}],
        }
        return {outer: [by_resource | ({"schemaUrl": self.origin.schema_url} if self.origin.schema_url else {})]}


class Keys(NamedTuple):
    """OTLP's names for the levels of an export request."""

    outer: str
    inner: str
    leaf: str


KEYS: Final = {
    SPAN: Keys("resourceSpans", "scopeSpans", "spans"),
    LOG: Keys("resourceLogs", "scopeLogs", "logRecords"),
}
