"""The client that administers Kafka: topics, offsets of groups, deletion of messages."""

from typing import Final

from kafka.admin import KafkaAdminClient

from celeryscope.service.kafka import KafkaSettings

_TIMEOUT_MS: Final = 5000


def admin_client(kafka: KafkaSettings, client_id: str) -> KafkaAdminClient:
    """Connected; close it. Raises kafka-python's errors, like all its methods (see ``our_kafka_errors``)."""
    return KafkaAdminClient(
        **kafka.client_options(),
        client_id=client_id,
        bootstrap_timeout_ms=_TIMEOUT_MS,
        request_timeout_ms=2 * _TIMEOUT_MS,
        reconnect_backoff_max_ms=1000,
    )
