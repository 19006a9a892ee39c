"""Whether Kafka can take our messages now: the topics are there and every partition has a leader."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)

from celeryscope.errors import CeleryscopeError, Unauthorized, Unavailable
from celeryscope_collector.records import METRICS, SIGNALS, Signal

_LOGGER = logging.getLogger("kafka.net.manager")
_TIMEOUT_MS = 3000
_UNKNOWN_TOPIC = 3
_NO_LEADER = -1
_REFUSALS = (SaslAuthenticationFailedError, ClusterAuthorizationFailedError, TopicAuthorizationFailedError)


class _Failures(logging.Handler):
    """Why no broker could be reached: kafka-python says it in its log only, and raises that it took too long."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        for argument in arguments:
            if isinstance(argument, Exception) and not isinstance(argument, KafkaTimeoutError):
                self.last = argument


_failures = _Failures()
_LOGGER.addHandler(_failures)
_LOGGER.setLevel(logging.WARNING)
_LOGGER.propagate = False


class KafkaCheck:
    """Asks the brokers themselves, over a connection that is kept; blocking, for one thread at a time."""

    def __init__(self, options: Mapping[str, Any], signals: Sequence[Signal] = SIGNALS) -> None:
        """``options`` are kafka-python's; the topics are those of ``signals``.

        Raises Unavailable when no broker answers, Unauthorized when refused.
        """
        self._signals = signals
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
            answer = self._admin.describe_topics([signal.topic for signal in self._signals])
        except (KafkaError, OSError) as error:
            raise told(error) from None
        return {topic["name"]: _usable_partitions(topic) for topic in answer}

    def close(self) -> None:
        """Give the connection up."""
        self._admin.close()


def told(error: Exception) -> CeleryscopeError:
    """An error of kafka-python's as one of ours."""
    if isinstance(error, KafkaTimeoutError) and _failures.last is not None:
        error, _failures.last = _failures.last, None
    if isinstance(error, _REFUSALS):
        return Unauthorized(f"Kafka refuses the credentials: {error}")
    # What a broker answers to a wrong password over TLS, kafka-python loses with the connection that is closed then.
    hint = "; so brokers end it, too, when TLS or credentials don't fit" if "socket disconnected" in str(error) else ""
    return Unavailable(f"Kafka can't be reached: {error}{hint}")


def _usable_partitions(topic: Mapping[str, Any]) -> int:
    if topic["error_code"] == _UNKNOWN_TOPIC:
        if topic["name"] == METRICS.topic:
            raise Unavailable(
                f"the topic {topic['name']} does not exist: run `celeryscope setup --metrics`, or take no metrics"
            )
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
