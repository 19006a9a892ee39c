"""The address that alerts are mailed to, and by: ``smtp://user:password@host:587?from=...&to=...``. Pure."""

from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from celeryscope.errors import ConfigError

_PORTS: Final = {"smtp": 587, "smtps": 465}
"""By scheme: `smtp` begins in the clear and encrypts when the server can, `smtps` is TLS from the first byte."""


class Mail(NamedTuple):
    """What Kibana's e-mail connector is made of, and who gets the mail."""

    config: dict[str, Any]
    secrets: dict[str, str]
    to: tuple[str, ...]


def mail_of(address: str) -> Mail:
    """What the address says; user, password, sender and recipients may be percent-encoded.

    Raises ConfigError, which does not repeat the address: it may hold a password.
    """
    try:
        return _mail_of(address)
    except (ValueError, KeyError):
        raise ConfigError(
            "CELERYSCOPE_KIBANA_EMAIL (--email) must be smtp://host:587?from=SENDER&to=RECIPIENT,RECIPIENT, with "
            "user:password@ before the host if the server wants a login, and smtps:// for TLS from the start."
        ) from None


def _mail_of(address: str) -> Mail:
    parts = urlsplit(address)
    # A plus is part of many addresses, and no blank.
    query = parse_qs(parts.query.replace("+", "%2B"), strict_parsing=True)
    (sender,), (recipients,) = query.pop("from"), query.pop("to")
    login = [unquote(part) for part in (parts.username, parts.password) if part]
    if query or not parts.hostname or len(login) == 1:
        raise ValueError("something is missing, or nothing that we know")
    config = {
        "service": "other",
        "host": parts.hostname,
        "port": parts.port or _PORTS[parts.scheme],
        "secure": {"smtp": False, "smtps": True}[parts.scheme],
        "from": sender,
        "hasAuth": bool(login),
    }
    return Mail(config, dict(zip(("user", "password"), login, strict=False)), tuple(recipients.split(",")))
