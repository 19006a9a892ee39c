"""All metrics of the collector, in a registry of their own. Times are seconds, sizes bytes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_PREFIX = "celeryscope_collector"
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One attribute per metric; the label ``signal`` is ``span`` or ``log``."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", meaning, labels, registry=registry)

        def seconds(name: str, meaning: str, *labels: str) -> Histogram:
            return Histogram(f"{_PREFIX}_{name}", meaning, labels, buckets=_SECONDS, registry=registry)

        self.requests = counter("requests", "Export requests by the status of their answer.", "signal", "status")
        self.request_seconds = seconds("request_seconds", "From a request's headers to its answer.", "signal")
        self.request_bytes = counter("request_bytes", "Bytes of request bodies as received.", "signal")
        self.records_accepted = counter("records_accepted", "Records that are in Kafka.", "signal", "tenant")
        self.records_refused = counter("records_refused", "Records refused by themselves.", "signal", "reason")
        self.records_dropped = counter("records_dropped", "Records dropped on purpose.", "signal", "processor")
        self.kafka_messages = counter("kafka_messages", "Messages acknowledged by Kafka.", "topic")
        self.kafka_bytes = counter("kafka_bytes", "Bytes of acknowledged messages, uncompressed.", "topic")
        self.kafka_failures = counter("kafka_failures", "Messages that Kafka did not acknowledge.", "error")
        self.kafka_seconds = seconds("kafka_seconds", "Until all messages of a request were acknowledged.")
        self.bytes_in_flight = gauge("bytes_in_flight", "Bytes under way, by where they are.", "stage")
        self.ready = gauge("ready", "1 while Kafka is reachable, else 0.")

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)
