"""What a request that is not accepted is answered with, in HTTP's and in gRPC's terms.

OTLP says which of them are worth another try: HTTP 429 and 503 with ``Retry-After``, gRPC's UNAVAILABLE and
RESOURCE_EXHAUSTED with a ``RetryInfo``, DEADLINE_EXCEEDED; whoever gets another one must drop its data or ask a person.
HTTP's own 408 is not among them, so a body that is late is answered 503.
"""

import math
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect

from celeryscope.errors import CeleryscopeError, Rejected, Unauthorized, Unavailable
from celeryscope_collector.otlp import answers
from celeryscope_collector.otlp.content import TooLarge, Unsupported


class TooMuch(CeleryscopeError):
    """The tenant is over its rate; ``retry_after`` in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Refusal:
    """HTTP's status, gRPC's code, a message for people, and whole seconds until it is worth another try (or None)."""

    http: int
    grpc: int
    message: str
    retry_after: int | None = None


# One that is not in the table is a bug, and a 500.
_CODES: Final[dict[type[Exception], tuple[int, int]]] = {
    Unauthorized: (401, answers.UNAUTHENTICATED),
    Unsupported: (415, answers.INVALID_ARGUMENT),
    TooLarge: (413, answers.RESOURCE_EXHAUSTED),
    TooMuch: (429, answers.RESOURCE_EXHAUSTED),
    Rejected: (400, answers.INVALID_ARGUMENT),
    TimeoutError: (503, answers.DEADLINE_EXCEEDED),
    # Nobody reads this answer; the status is for the metric.
    ClientDisconnect: (400, answers.INVALID_ARGUMENT),
    Unavailable: (503, answers.UNAVAILABLE),
}
_LATER: Final = {429, 503}
REFUSED: Final = tuple(_CODES)
"""The exceptions that are answers, to be caught."""


def refusal(error: Exception) -> Refusal:
    """The answer for one of ``REFUSED``."""
    http, grpc = next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    retry_after = None
    if http in _LATER:
        retry_after = max(math.ceil(getattr(error, "retry_after", None) or 1), 1)
    return Refusal(http, grpc, str(error) or "the body did not arrive in time", retry_after)
