"""The one table from kafka-python's errors to ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import (
    AuthorizationError,
    BrokerResponseError,
    IncompatibleBrokerVersion,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)

from celeryscope.errors import CeleryscopeError, NotFound, Unauthorized, Unavailable, WrongVersion

_REFUSALS = (AuthorizationError, SaslAuthenticationFailedError)


@contextmanager
def our_kafka_errors() -> Iterator[None]:
    """Turn every error of the client into one of celeryscope.errors; as a context manager or a decorator.

    Credentials or privileges refused: Unauthorized. A missing topic: NotFound. A broker too old: WrongVersion.
    Anything else may be over later: Unavailable.
    """
    try:
        yield
    except (KafkaError, OSError) as error:
        raise translate(error) from error


def translate(error: Exception) -> CeleryscopeError:
    """The error of ours that says what to do about an error of kafka-python's (or of the socket below it)."""
    reason = _brief(error)
    if isinstance(error, _REFUSALS):
        return Unauthorized(
            f"Kafka refused the credentials or the privilege ({reason}). "
            "Check CELERYSCOPE_KAFKA_SASL_USERNAME and its password, and the user's ACLs."
        )
    if isinstance(error, UnknownTopicOrPartitionError):
        return NotFound("Kafka has no such topic. Run `celeryscope setup`.")
    if isinstance(error, IncompatibleBrokerVersion | UnsupportedVersionError):
        return WrongVersion(f"This Kafka is too old for celeryscope ({reason}). Use Kafka 2.4 or later.")
    if isinstance(error, KafkaTimeoutError):
        return Unavailable(
            f"Kafka does not answer ({reason}). Is it running, and is CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS right?"
        )
    return Unavailable(f"Kafka can't do it now ({reason}). Try again later.")


def _brief(error: Exception) -> str:
    # The text of a broker's refusal holds request and answer whole.
    if isinstance(error, BrokerResponseError) and "failed with response" in str(error):
        return f"{type(error).__name__}: {error.description}"
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
