"""Each way in which a broker refuses or leaves a worker has one of four causes, with the clients' own exceptions."""

import socket
import ssl

import amqp.exceptions
import pytest
import redis.exceptions
from kombu.exceptions import OperationalError

from celeryscope.vitals.causes import cause_of


def raised_from(error: BaseException, origin: BaseException) -> BaseException:
    error.__cause__ = origin
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "network"),
        (ConnectionResetError(104, "Connection reset by peer"), "network"),
        (TimeoutError("timed out"), "network"),
        (socket.gaierror(-2, "Name or service not known"), "network"),
        (OSError("Server unexpectedly closed connection"), "network"),
        (redis.exceptions.ConnectionError("Error 111 connecting to cache:6379. Connection refused."), "network"),
        (redis.exceptions.TimeoutError("Timeout reading from socket"), "network"),
        (redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "network"),
        (amqp.exceptions.ConnectionForced("Too many heartbeats missed"), "network"),
        (amqp.exceptions.RecoverableConnectionError("connection already closed"), "network"),
        (redis.exceptions.AuthenticationError("Authentication required."), "authentication"),
        (redis.exceptions.ResponseError("WRONGPASS invalid username-password pair."), "authentication"),
        (redis.exceptions.NoPermissionError("NOPERM this user may not"), "authentication"),
        (amqp.exceptions.AccessRefused("ACCESS_REFUSED - Login was refused"), "authentication"),
        (ssl.SSLCertVerificationError("certificate verify failed"), "authentication"),
        (redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "resource_limit"),
        (redis.exceptions.ResponseError("OOM command not allowed when used memory > 'maxmemory'."), "resource_limit"),
        (redis.exceptions.ConnectionError("max number of clients reached"), "resource_limit"),
        (amqp.exceptions.ResourceError("RESOURCE_ERROR - disk full"), "resource_limit"),
        (amqp.exceptions.NotAllowed("NOT_ALLOWED - vhost '/': connection limit (1) is reached"), "resource_limit"),
        (amqp.exceptions.Blocked("connection blocked, see broker logs"), "resource_limit"),
        (OSError(24, "Too many open files"), "resource_limit"),
        (redis.exceptions.InvalidResponse("Protocol Error: b'HTTP/1.1 400'"), "protocol"),
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), "protocol"),
        (amqp.exceptions.PreconditionFailed("PRECONDITION_FAILED - inequivalent arg 'durable'"), "protocol"),
        (amqp.exceptions.NotFound("NOT_FOUND - no queue 'celery'"), "protocol"),
        (amqp.exceptions.UnexpectedFrame("UNEXPECTED_FRAME"), "protocol"),
        (amqp.exceptions.ConsumerCancelled("amq.ctag"), "protocol"),
        (ssl.SSLError("WRONG_VERSION_NUMBER"), "protocol"),
        (ValueError("something of the client library's own"), "protocol"),
    ],
)  # fmt: skip
def test_an_error_of_a_client_has_a_cause(error: BaseException, cause: str) -> None:
    assert cause_of(error) == cause


def test_what_kombu_wraps_is_what_counts() -> None:
    refused = redis.exceptions.AuthenticationError("invalid username-password pair")
    assert cause_of(raised_from(OperationalError("could not connect"), refused)) == "authentication"


def test_a_chain_that_ends_in_itself_ends() -> None:
    error = ConnectionResetError("reset")
    assert cause_of(raised_from(error, raised_from(OperationalError("again"), error))) == "network"


def test_an_error_that_can_not_be_read_has_a_cause_all_the_same() -> None:
    class Unreadable(ConnectionError):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert cause_of(Unreadable()) == "network"
