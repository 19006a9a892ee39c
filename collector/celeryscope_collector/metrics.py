"""All metrics of the collector, in a registry of their own. Times are seconds, sizes bytes.

With several worker processes each writes its numbers into files of a folder they share (the library's multiprocess
mode), and whichever is asked tells the sum of all.
"""

import os
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

_PREFIX = "celeryscope_collector"
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One attribute per metric; the label ``signal`` is ``span`` or ``log``."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str, of_all: Literal["livesum", "livemin"]) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", meaning, labels, registry=registry, multiprocess_mode=of_all)

        def seconds(name: str, meaning: str, *labels: str) -> Histogram:
            return Histogram(f"{_PREFIX}_{name}", meaning, labels, buckets=_SECONDS, registry=registry)

        self.requests = counter(
            "requests",
            "Export requests by how they came (http, grpc) and the status of their answer.",
            "signal",
            "transport",
            "status",
        )
        self.requests_under_way = gauge("requests_under_way", "Requests not answered yet.", "signal", of_all="livesum")
        self.request_seconds = seconds("request_seconds", "From a request's headers to its answer.", "signal")
        self.request_bytes = counter("request_bytes", "Bytes of request bodies as received.", "signal")
        self.records_received = counter("records_received", "Records of requests that could be read.", "signal")
        self.records_accepted = counter("records_accepted", "Records that are in Kafka.", "signal", "tenant")
        self.records_refused = counter("records_refused", "Records refused by themselves.", "signal", "reason")
        self.records_dropped = counter("records_dropped", "Records dropped on purpose.", "signal", "processor")
        self.records_unavailable = counter(
            "records_unavailable",
            "Records answered with 503: their sender still has them.",
            "signal",
        )
        self.kafka_messages = counter("kafka_messages", "Messages acknowledged by Kafka.", "topic")
        self.kafka_bytes = counter("kafka_bytes", "Bytes of acknowledged messages, uncompressed.", "topic")
        self.kafka_failures = counter("kafka_failures", "Messages that Kafka did not acknowledge.", "error")
        self.kafka_seconds = seconds("kafka_seconds", "Until all messages of a request were acknowledged.")
        self.bytes_in_flight = gauge(
            "bytes_in_flight", "Bytes under way, by where they are.", "stage", of_all="livesum"
        )
        self.ready = gauge("ready", "1 while Kafka is reachable for every process, else 0.", of_all="livemin")
        self.processes = gauge("processes", "Processes that take requests.", of_all="livesum")
        self.process_restarts = counter("process_restarts", "Worker processes that ended by themselves.")

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
