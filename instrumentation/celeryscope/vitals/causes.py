"""Why a broker can't be used: one of four causes, from the exception that some client library raised.

The libraries (redis, amqp and whatever kombu takes) need not be installed, so their exceptions are known by the names
of their classes, by AMQP's reply codes (AMQP 0-9-1, section 1.2) and by what the servers write.
"""

import re
import ssl
from typing import Final

from celeryscope import semconv
from celeryscope.exceptions import message

_AUTHENTICATION: Final = re.compile(
    r"NOAUTH|WRONGPASS|NOPERM|ACCESS_REFUSED|invalid (?:username|password)|authentication|not permitted", re.IGNORECASE
)
_RESOURCE_LIMIT: Final = re.compile(
    r"OOM command not allowed|max(?:imum)? number of clients|connection(?:s)? limit|resource[ _]error"
    r"|too many (?:connections|open files)|memory alarm|disk (?:alarm|full)|connection[ .]blocked|no space left",
    re.IGNORECASE,
)
_NAMES_OF_AUTHENTICATION: Final = frozenset(
    {"AuthenticationError", "AuthorizationError", "NoPermissionError", "AccessRefused", "AuthenticationFailure"}
)
_NAMES_OF_RESOURCE_LIMIT: Final = frozenset(
    {"ResourceError", "Blocked", "OutOfMemoryError", "MaxConnectionsError", "MaxClientsError"}
)
_NAMES_OF_PROTOCOL: Final = frozenset(
    {"ResponseError", "InvalidResponse", "IrrecoverableConnectionError", "ConsumerCancelled"}
)
_NAMES_OF_NETWORK: Final = frozenset({"ConnectionError", "TimeoutError", "ConnectionForced", "OSError"})
_FORCED: Final = 320
"""AMQP's CONNECTION_FORCED: an operator closed the connection or stops the server."""


def cause_of(error: BaseException) -> str:
    """One of ``semconv.CAUSE_*``: network stands for a broker that can't be reached, hung up or does not answer."""
    chain = list(_chain(error))
    for cause, holds in _RULES:
        if any(holds(link) for link in chain):
            return cause
    return semconv.CAUSE_PROTOCOL


def _chain(error: BaseException | None) -> list[BaseException]:
    """The exception and what it was raised from; kombu and the clients wrap what happened."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _authentication(error: BaseException) -> bool:
    named = _names(error) & _NAMES_OF_AUTHENTICATION
    return bool(named or isinstance(error, ssl.SSLCertVerificationError) or _AUTHENTICATION.search(message(error)))


def _resource_limit(error: BaseException) -> bool:
    return bool(_names(error) & _NAMES_OF_RESOURCE_LIMIT or _RESOURCE_LIMIT.search(message(error)))


def _protocol(error: BaseException) -> bool:
    if isinstance(error, ssl.SSLError) or _names(error) & _NAMES_OF_PROTOCOL:
        return True
    code = getattr(error, "reply_code", None)
    return isinstance(code, int) and code > 0 and code != _FORCED


def _network(error: BaseException) -> bool:
    return bool(_names(error) & _NAMES_OF_NETWORK)


_RULES: Final = (
    (semconv.CAUSE_AUTHENTICATION, _authentication),
    (semconv.CAUSE_RESOURCE_LIMIT, _resource_limit),
    (semconv.CAUSE_PROTOCOL, _protocol),
    (semconv.CAUSE_NETWORK, _network),
)
"""In this order: the refusal of a password, say, is also a broken connection to most clients."""
