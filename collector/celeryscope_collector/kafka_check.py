"""Whether Kafka can take our messages now: both topics are there and every partition has a leader."""

from collections.abc import Mapping
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)

from celeryscope.errors import CeleryscopeError, Unauthorized, Unavailable
from celeryscope_collector.records import SIGNALS

_TIMEOUT_MS = 3000
_UNKNOWN_TOPIC = 3
_NO_LEADER = -1
_REFUSALS = (SaslAuthenticationFailedError, ClusterAuthorizationFailedError, TopicAuthorizationFailedError)


class KafkaCheck:
    """Asks the brokers themselves, over a connection that is kept; blocking, for one thread at a time."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """``options`` are kafka-python's. Raises Unavailable when no broker answers, Unauthorized when refused."""
        try:
            self._admin = KafkaAdminClient(
                **options,
                client_id="celeryscope-collector-check",
                bootstrap_timeout_ms=_TIMEOUT_MS,
                request_timeout_ms=_TIMEOUT_MS,
                reconnect_backoff_max_ms=1000,
            )
        except (KafkaError, OSError) as error:
            raise told(error) from None

    def partitions(self) -> dict[str, int]:
        """The number of partitions of each of our topics; raises like the constructor, with the reason."""
        try:
            answer = self._admin.describe_topics([signal.topic for signal in SIGNALS])
        except (KafkaError, OSError) as error:
            raise told(error) from None
        return {topic["name"]: _usable_partitions(topic) for topic in answer}

    def close(self) -> None:
        """Give the connection up."""
        self._admin.close()


def told(error: Exception) -> CeleryscopeError:
    """An error of kafka-python's as one of ours."""
    if isinstance(error, _REFUSALS):
        return Unauthorized(f"Kafka refuses the credentials: {error}")
    return Unavailable(f"Kafka can't be reached: {error}")


def _usable_partitions(topic: Mapping[str, Any]) -> int:
    if topic["error_code"] == _UNKNOWN_TOPIC:
        raise Unavailable(f"the topic {topic['name']} does not exist: run `celeryscope setup`")
    if topic["error_code"] == TopicAuthorizationFailedError.errno:
        raise Unauthorized(
            f"Kafka does not let this user see the topic {topic['name']}: allow Describe and Write on it"
        )
    if topic["error_code"]:
        raise Unavailable(f"the topic {topic['name']} can't be used (Kafka's error {topic['error_code']})")
    partitions = topic["partitions"]
    leaderless = sum(partition["leader_id"] == _NO_LEADER for partition in partitions)
    if leaderless or not partitions:
        raise Unavailable(f"{leaderless} of {len(partitions)} partitions of {topic['name']} have no leader")
    return len(partitions)
