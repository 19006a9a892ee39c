"""All metrics of the indexer; these names are a specification."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

registry = CollectorRegistry()

messages = Counter("celeryscope_indexer_messages", "Kafka messages read.", ["topic"], registry=registry)
records = Counter("celeryscope_indexer_records", "Records decoded from messages.", registry=registry)
documents = Counter(
    "celeryscope_indexer_documents",
    "Writes that Elasticsearch answered, by result: written, unchanged (already there, or newer).",
    ["result"],
    registry=registry,
)
dead_letters = Counter("celeryscope_indexer_dead_letters", "Records put aside.", ["reason"], registry=registry)
retries = Counter("celeryscope_indexer_retries", "Bulk requests repeated, by reason.", ["reason"], registry=registry)
bulk_seconds = Histogram(
    "celeryscope_indexer_bulk_seconds",
    "Time of one bulk request.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
    registry=registry,
)
commits = Counter(
    "celeryscope_indexer_commits", "Commits of offsets, by result: done, failed.", ["result"], registry=registry
)
in_flight = Gauge("celeryscope_indexer_batches_in_flight", "Batches read but not yet committed.", registry=registry)
in_flight_bytes = Gauge(
    "celeryscope_indexer_in_flight_bytes", "Bytes of messages that are read but not yet committed.", registry=registry
)
lag = Gauge(
    "celeryscope_indexer_lag_messages",
    "Messages behind the end of a partition.",
    ["topic", "partition"],
    registry=registry,
)
read_time = Gauge(
    "celeryscope_indexer_read_time_seconds",
    "When the last message read was put into Kafka (Unix time); with a lag, no message left is older.",
    ["topic", "partition"],
    registry=registry,
)
waiting = Gauge(
    "celeryscope_indexer_waiting", "1 while nothing can be written, because a server is away.", registry=registry
)
