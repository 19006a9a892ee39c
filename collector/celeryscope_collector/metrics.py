"""All metrics of the collector, in a registry of their own. Times are seconds, sizes bytes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_PREFIX = "celeryscope_collector"
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One attribute per metric; ``signal`` is ``span`` or ``log``."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            f"{_PREFIX}_requests",
            "Export requests by the status they were answered with.",
            ["signal", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            f"{_PREFIX}_request_seconds",
            "Time from a request's headers to its answer.",
            ["signal"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.request_bytes = Counter(
            f"{_PREFIX}_request_bytes", "Bytes of request bodies as received.", ["signal"], registry=self.registry
        )
        self.records_accepted = Counter(
            f"{_PREFIX}_records_accepted", "Records that are in Kafka.", ["signal", "tenant"], registry=self.registry
        )
        self.records_refused = Counter(
            f"{_PREFIX}_records_refused",
            "Records refused through partial success.",
            ["signal", "reason"],
            registry=self.registry,
        )
        self.records_dropped = Counter(
            f"{_PREFIX}_records_dropped",
            "Records that a processor dropped on purpose.",
            ["signal", "processor"],
            registry=self.registry,
        )
        self.kafka_messages = Counter(
            f"{_PREFIX}_kafka_messages", "Messages acknowledged by Kafka.", ["topic"], registry=self.registry
        )
        self.kafka_bytes = Counter(
            f"{_PREFIX}_kafka_bytes",
            "Bytes of acknowledged messages before compression.",
            ["topic"],
            registry=self.registry,
        )
        self.kafka_failures = Counter(
            f"{_PREFIX}_kafka_failures", "Messages that Kafka did not acknowledge.", ["error"], registry=self.registry
        )
        self.kafka_seconds = Histogram(
            f"{_PREFIX}_kafka_seconds",
            "Time until all messages of a request were acknowledged.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.bytes_in_flight = Gauge(
            f"{_PREFIX}_bytes_in_flight", "Bytes under way, by where they are.", ["stage"], registry=self.registry
        )
        self.ready = Gauge(f"{_PREFIX}_ready", "1 while Kafka is reachable, else 0.", registry=self.registry)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
