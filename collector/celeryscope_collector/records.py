"""What runs through the collector: one span or log record together with where it came from.

Everything is kept as the plain dicts of OTLP/JSON, ids in lower-case hexadecimal, whatever encoding it arrived in.
"""

from dataclasses import dataclass
from typing import Any, Final

from celeryscope import semconv


@dataclass(frozen=True)
class Signal:
    """The names that OTLP gives to one kind of record, and the topic it goes to."""

    kind: str
    path: str
    topic: str
    resource_key: str
    scope_key: str
    item_key: str
    rejected_key: str


TRACES: Final = Signal(
    "span", semconv.PATH_TRACES, semconv.TOPIC_TRACES, "resourceSpans", "scopeSpans", "spans", "rejectedSpans"
)
LOGS: Final = Signal(
    "log", semconv.PATH_LOGS, semconv.TOPIC_LOGS, "resourceLogs", "scopeLogs", "logRecords", "rejectedLogRecords"
)
METRICS: Final = Signal(
    "metric",
    semconv.PATH_METRICS,
    semconv.TOPIC_METRICS,
    "resourceMetrics",
    "scopeMetrics",
    "metrics",
    "rejectedDataPoints",
)
"""Passed through to whoever else reads them, when the settings say so."""
SIGNALS: Final = (TRACES, LOGS)

IDENTITIES: Final = frozenset(
    {
        semconv.TENANT,
        semconv.SERVICE_NAME,
        semconv.LOG_RECORD_UID,
        semconv.CLOCK,
        semconv.ATTEMPT,
        semconv.TASK_ID,
        semconv.TASK_NAME,
        semconv.ROOT_ID,
        semconv.STATE,
        semconv.WORKER,
        semconv.SCHEDULE,
        semconv.MESSAGING_DESTINATION,
    }
)
"""Attributes without which a record would be another one's, or another tenant's: no processor takes them away."""


@dataclass(eq=False, slots=True)
class Origin:
    """Resource and scope that many records share; compared and hashed by identity."""

    resource: dict[str, Any]
    scope: dict[str, Any]
    resource_schema: str = ""
    scope_schema: str = ""


@dataclass(eq=False, slots=True)
class Record:
    """One span or log record. Whoever is given a record owns its ``item``; the ``origin`` is shared, replace it."""

    signal: Signal
    origin: Origin
    item: dict[str, Any]

    @property
    def attributes(self) -> list[dict[str, Any]]:
        """The item's attributes, ``[{"key": str, "value": AnyValue}, ...]``; the list itself, not a copy."""
        attributes: list[dict[str, Any]] = self.item.setdefault("attributes", [])
        return attributes

    def text(self, name: str) -> str:
        """The text of an attribute; empty when there is none of that name, or it is no text."""
        for attribute in self.item.get("attributes", ()):
            if attribute["key"] == name:
                return str(attribute["value"].get("stringValue", ""))
        return ""
