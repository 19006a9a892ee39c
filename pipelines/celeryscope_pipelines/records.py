"""One span or log record together with where it came from, as it stands in Kafka: plain dicts of OTLP/JSON."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from celeryscope import semconv
from celeryscope_pipelines.attributes import plain

SPAN: Final = "span"
LOG: Final = "log"


class Origin:
    """Resource and scope that many records share; their attributes are made plain once."""

    def __init__(self, resource: dict[str, Any], scope: dict[str, Any], schema_url: str = "") -> None:
        self.resource = resource
        self.scope = scope
        self.schema_url = schema_url

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The resource's attributes without our tenant."""
        found = plain(self.resource.get("attributes"))
        found.pop(semconv.TENANT, None)
        return found

    @cached_property
    def tenant(self) -> str:
        """Whose data it is; the collector says so."""
        found = plain(self.resource.get("attributes")).get(semconv.TENANT)
        return str(found or semconv.DEFAULT_TENANT)


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
        return str(self.item.get("eventName") or "")

    @property
    def identity(self) -> str:
        """What makes the record the same record however often it comes; empty when it has none."""
        if self.kind == SPAN:
            return f"{self.item.get('traceId', '')}{self.item.get('spanId', '')}"
        return str(self.attributes.get(semconv.LOG_RECORD_UID) or "")

    def as_request(self) -> dict[str, Any]:
        """The OTLP request that holds this record alone."""
        outer, inner, leaf = KEYS[self.kind]
        scope = {"scope": self.origin.scope, leaf: [self.item]}
        return {outer: [{"resource": self.origin.resource, inner: [scope]}]}


class Keys(NamedTuple):
    """OTLP's names for the levels of an export request."""

    outer: str
    inner: str
    leaf: str


KEYS: Final = {
    SPAN: Keys("resourceSpans", "scopeSpans", "spans"),
    LOG: Keys("resourceLogs", "scopeLogs", "logRecords"),
}
