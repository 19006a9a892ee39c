"""The wiring of an indexer, to be read in a minute."""

from dataclasses import dataclass
from threading import Event
from typing import Any

from elasticsearch import Elasticsearch
from kafka import KafkaConsumer

from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters import DeadLetters
from celeryscope_pipelines.fingerprint import NO_RULES
from celeryscope_pipelines.fingerprint.rules_file import read_rules
from celeryscope_pipelines.indexer.assignment import ByTopic
from celeryscope_pipelines.indexer.bulk import BulkWriter
from celeryscope_pipelines.indexer.clusters import FailureClusters
from celeryscope_pipelines.indexer.consumer import Consumer, Limits
from celeryscope_pipelines.indexer.patience import Patience
from celeryscope_pipelines.indexer.pipeline import DeadLetterLimit, Pipeline
from celeryscope_pipelines.kafka_errors import our_kafka_errors
from celeryscope_pipelines.settings import IndexerSettings

_FETCH_BYTES = 8 * 1024 * 1024
"""Of one answer of a broker, compressed; a single larger message comes nevertheless."""


@dataclass(slots=True)
class Indexer:
    """The parts of an indexer that its service starts and stops."""

    consumer: Consumer
    patience: Patience
    clusters: FailureClusters
    dead_letters: DeadLetters
    client: Elasticsearch


def build(
    settings: IndexerSettings, kafka: KafkaSettings, elasticsearch: ElasticsearchSettings, stop: Event
) -> Indexer:
    """Connects to Kafka; Elasticsearch is asked with the first write.

    Raises Unavailable or Unauthorized, and ConfigError for a failure rules file that can't be used.
    """
    rules = NO_RULES if settings.failure_rules_file is None else read_rules(settings.failure_rules_file)
    client = connect(elasticsearch)
    patience = Patience(settings.retry_max_delay, stop)
    clusters = FailureClusters(client, settings.failure_interval)
    dead_letters = DeadLetters(kafka)
    limit = DeadLetterLimit(settings.dead_letter_limit, settings.dead_letter_window)
    pipeline = Pipeline(BulkWriter(client, patience), clusters, dead_letters, limit, patience, rules)
    limits = Limits(settings.workers, settings.batch_bytes, settings.batch_messages, settings.in_flight_bytes)
    consumer = Consumer(_consumer(settings, kafka), pipeline, limits)
    return Indexer(consumer, patience, clusters, dead_letters, client)


def _consumer(settings: IndexerSettings, kafka: KafkaSettings) -> KafkaConsumer:
    options: dict[str, Any] = {
        "group_id": settings.group_id,
        "client_id": "celeryscope-indexer",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "partition_assignment_strategy": [ByTopic],
        "fetch_max_bytes": _FETCH_BYTES,
        "max_poll_interval_ms": int(settings.max_poll_interval * 1000),
        "session_timeout_ms": int(settings.session_timeout * 1000),
        # Members learn of a rebalance by their heartbeats, twice for each partition that moves.
        "heartbeat_interval_ms": min(int(settings.session_timeout * 1000 / 4), 3000),
        "bootstrap_timeout_ms": 5000,
        "reconnect_backoff_max_ms": 1000,
        "allow_auto_create_topics": False,
    }
    with our_kafka_errors():
        return KafkaConsumer(**options, **kafka.client_options())
