"""What setup is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """None leaves the choice to setup for what is new, and what is there as it is."""

    partitions: int | None = None
    """Of the topics of traces and logs; as many indexers can share the work."""
    replication: int | None = None
    """Copies of each partition in Kafka."""
    topic_retention: int | None = None
    """Seconds that Kafka keeps traces and logs; 0 is for ever."""
    replicas: int | None = None
    """Further copies of each index in Elasticsearch."""
    retention: int | None = None
    """Seconds that Elasticsearch keeps spans and logs (the data streams); 0 is for ever."""
    metrics: bool = False
    """Whether the topic of OTLP metrics is wanted, too, which only a collector with metrics switched on writes."""
