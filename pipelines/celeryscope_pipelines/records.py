"""One span or log record together with where it came from, as it stands in Kafka: plain dicts of OTLP/JSON."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from celeryscope import semconv
from celeryscope_pipelines.attributes import as_document, identifier, plain

SPAN: Final = "span"
LOG: Final = "log"


class _Resource:
    """A resource as the documents have it."""

    def __init__(self, resource: dict[str, Any]) -> None:
        known = plain(resource.get("attributes"))
        self.tenant = str(known.pop(semconv.TENANT, None) or semconv.DEFAULT_TENANT)
        self.attributes = known
        self.fields = {**as_document(known), "agent.name": "celeryscope"}


@lru_cache(maxsize=4096)
def _resource(written: bytes) -> _Resource:
    """One for all messages of a process, which come with the same resource again and again."""
    return _Resource(orjson.loads(written))


class Origin:
    """Resource and scope that many records share; what is derived from them is made once."""

    def __init__(self, resource: dict[str, Any], scope: dict[str, Any], schema_url: str = "") -> None:
        self.resource = resource
        self.scope = scope
        self.schema_url = schema_url
        try:
            known = _resource(orjson.dumps(resource))
        except TypeError:  # hundreds of levels
            known = _Resource(resource)
        self.attributes = known.attributes
        """The resource's attributes without our tenant."""
        self.tenant = known.tenant
        """Whose data it is; the collector says so."""
        self.resource_fields = {"attributes": known.fields} | ({"schema_url": schema_url} if schema_url else {})
        """The resource as documents of the data streams have it; one dict for all of them, not to be changed."""
        self.scope_fields: dict[str, Any] = {key: str(scope[key]) for key in ("name", "version") if scope.get(key)}
        """The scope as documents of the data streams have it; one dict for all of them, not to be changed."""
        if attributes := as_document(plain(scope.get("attributes"))):
            self.scope_fields["attributes"] = attributes

    def request(self, kind: str, item: Any) -> dict[str, Any]:
        """The OTLP request that holds one item of this resource and scope."""
        outer, inner, leaf = KEYS[kind]
        by_resource: dict[str, Any] = {"resource": self.resource, inner: [{"scope": self.scope, leaf: [item]}]}
        return {outer: [by_resource | ({"schemaUrl": self.schema_url} if self.schema_url else {})]}


@dataclass(slots=True)
class Record:
    """A record of kind ``SPAN`` or ``LOG``; ``attributes`` are the item's own, as plain values."""

    kind: str
    origin: Origin
    item: dict[str, Any]
    attributes: dict[str, Any]
    arrived: int = field(default=0, compare=False)
    """Milliseconds since the Unix epoch: when it was put into Kafka; 0 when that is not known."""
    event_name: str = field(init=False, compare=False)
    """The event's name; empty for a span or a log line."""

    def __post_init__(self) -> None:
        name = self.item.get("eventName") or self.attributes.get(semconv.EVENT_NAME)
        self.event_name = name if isinstance(name, str) and self.kind == LOG else ""

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
        return self.origin.request(self.kind, self.item)


class Keys(NamedTuple):
    """OTLP's names for the levels of an export request."""

    outer: str
    inner: str
    leaf: str


KEYS: Final = {
    SPAN: Keys("resourceSpans", "scopeSpans", "spans"),
    LOG: Keys("resourceLogs", "scopeLogs", "logRecords"),
}
