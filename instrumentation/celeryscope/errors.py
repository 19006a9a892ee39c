"""What can go wrong, said in terms of what the caller should do.

CeleryscopeError
├── ConfigError        at start-up only: a setting is missing, unknown or wrong      exit code 2
├── NotFound           the question was fine, there is nothing to show               exit code 3
├── Unavailable        a server is away, slow or overloaded: try again later         exit code 4
│   └── TooSlow        this request alone may be too much: others may be answered    exit code 4
├── Unauthorized       a server refused the credentials                              exit code 5
├── WrongVersion       a server, file or schema is of a version we can't work with   exit code 6
├── Rejected           this input will never be accepted: don't try again            exit code 1
└── Unbalanced         the account of records does not add up                        exit code 1

A command prints ``str(error)`` and ends with the class's ``exit_code``; messages therefore say what to do, in one or
two sentences, without a traceback.
"""


class CeleryscopeError(Exception):
    """Base of all our errors; ``exit_code`` is what a command ends with."""

    exit_code = 1


class ConfigError(CeleryscopeError):
    """Settings are missing, unknown or wrong; the message lists all of them, a line each."""

    exit_code = 2


class NotFound(CeleryscopeError):
    """Nothing matches what was asked for."""

    exit_code = 3


class Unavailable(CeleryscopeError):
    """Try again later; ``retry_after`` is in seconds, None when the other side named no time."""

    exit_code = 4

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooSlow(Unavailable):
    """A server did not answer in time: it is overloaded or hangs, or this request alone is too much work."""


class Unauthorized(CeleryscopeError):
    """The credentials are missing, wrong or lack a privilege."""

    exit_code = 5


class WrongVersion(CeleryscopeError):
    """The other side is of a version we can't work with."""

    exit_code = 6


class Rejected(CeleryscopeError):
    """Never try this input again; ``reason`` is a short name fit for a metric label."""

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason


class Unbalanced(CeleryscopeError):
    """Records written, indexed, dead-lettered and dropped do not add up."""
