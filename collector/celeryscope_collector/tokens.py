"""Who may send: a file of token hashes, each with its tenant, and what tenants may send at most."""

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml

from celeryscope import semconv
from celeryscope.errors import ConfigError, Unauthorized
from celeryscope_collector.tenant_limits import TenantLimits, limits_by_tenant
from celeryscope_collector.watched import WatchedFile

TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_.]{0,62}")
"""A tenant is the namespace of Elasticsearch's data streams, which allow no capitals and no hyphen."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Token:
    """The hash of a token and the tenant whose data it brings."""

    tenant: str
    sha256: str


@dataclass(frozen=True)
class Senders:
    """What a tokens file says: the tokens, and the limits of those tenants that have their own."""

    tokens: list[Token]
    limits: dict[str, TenantLimits] = field(default_factory=dict)


def new_token() -> str:
    """A fresh token with 256 bits of randomness."""
    return f"csc_{secrets.token_urlsafe(32)}"


def hash_of(token: str) -> str:
    """What the tokens file holds of a token. A plain hash is enough: the token is random, not a password."""
    return sha256(token.encode()).hexdigest()


def checked_tenant(tenant: str) -> str:
    """The tenant itself; ConfigError when it can't be a namespace of Elasticsearch."""
    if TENANT.fullmatch(tenant) is None:
        raise ConfigError(
            f"tenant {tenant!r}: use up to 63 lower-case letters, digits, '_' and '.', a letter or digit first"
        )
    return tenant


def read_senders(path: Path, default: TenantLimits) -> Senders:
    """The content of a file ``tokens: [{tenant: shop, sha256: <hex>}, ...]``, with or without ``limits``.

    Raises ConfigError when it can't be used.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the tokens file {path} can't be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        # ValueError: a date or number that is none. The messages quote the file, which may hold a token by mistake.
        raise ConfigError(f"the tokens file {path} is not valid YAML") from None
    entries = content.get("tokens") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not set(content) <= {"tokens", "limits"}:
        raise ConfigError(
            f"the tokens file {path} needs a list `tokens`, and may have `limits`, nothing else; make entries with "
            "`celeryscope collector token new`"
        )
    tokens = [_token(entry, path, number) for number, entry in enumerate(entries, 1)]
    try:
        limits = limits_by_tenant(content.get("limits"), default)
    except ConfigError as error:
        raise ConfigError(f"the tokens file {path}: {error}") from None
    nobodys = sorted(limits.keys() - {token.tenant for token in tokens})
    if nobodys:
        raise ConfigError(f"the tokens file {path}: limits of {', '.join(nobodys)}, who has no token")
    return Senders(tokens, limits)


def _token(entry: Any, path: Path, number: int) -> Token:
    if not isinstance(entry, dict) or set(entry) != {"tenant", "sha256"}:
        raise ConfigError(f"the tokens file {path}, entry {number}: it needs exactly `tenant` and `sha256`")
    tenant, digest = entry["tenant"], entry["sha256"]
    if not isinstance(tenant, str) or not isinstance(digest, str):
        # YAML reads 007 as a number and no as false: guessing what was meant could mix two tenants up.
        raise ConfigError(f"the tokens file {path}, entry {number}: put `tenant` and `sha256` in quotes")
    if _SHA256.fullmatch(digest.lower()) is None:
        raise ConfigError(f"the tokens file {path}, entry {number}: sha256 must be 64 hexadecimal digits")
    return Token(checked_tenant(tenant), digest.lower())


def line_for(tenant: str, token: str) -> str:
    """The entry of the tokens file for a token: one line of YAML."""
    entry = {"tenant": tenant, "sha256": hash_of(token)}
    return "- " + yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=200).strip()


def tenant_of(token: str, tokens: Sequence[Token]) -> str | None:
    """The tenant of a token, None for an unknown one; takes as long for a near miss as for any other."""
    digest = hash_of(token)
    found = None
    for known in tokens:
        if hmac.compare_digest(known.sha256, digest):
            found = known.tenant
    return found


class TokenFile:
    """The senders of a file, read again whenever it changes; while it can't be used, the last good ones stay valid."""

    def __init__(self, path: Path, default: TenantLimits) -> None:
        """``default`` are the limits of tenants for which the file has none.

        Raises ConfigError when the file can't be used at the start.
        """
        self._default = default
        self._senders = WatchedFile(path, lambda path: read_senders(path, default))

    @property
    def tenants(self) -> list[str]:
        """The tenants that have a token, sorted."""
        return sorted({token.tenant for token in self._senders.content.tokens})

    def tenant(self, authorization: str | None) -> str:
        """The tenant of an ``Authorization`` header; Unauthorized when there is none."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("send a token: Authorization: Bearer <token>")
        tenant = tenant_of(token.strip(), self._senders.content.tokens)
        if tenant is None:
            raise Unauthorized("this token is unknown")
        return tenant

    def limits(self, tenant: str) -> TenantLimits:
        """What a tenant may send at most."""
        return self._senders.content.limits.get(tenant, self._default)

    def reload(self) -> None:
        """Read the file again, whether it seems to have changed or not."""
        self._senders.reload()


class Anonymous:
    """Everybody may send, as the tenant ``default``."""

    tenants: Final = [semconv.DEFAULT_TENANT]

    def __init__(self, limits: TenantLimits) -> None:
        self._limits = limits

    def tenant(self, authorization: str | None) -> str:  # noqa: ARG002
        """Always the default tenant."""
        return semconv.DEFAULT_TENANT

    def limits(self, tenant: str) -> TenantLimits:  # noqa: ARG002
        """Those of the settings."""
        return self._limits

    def reload(self) -> None:
        """Nothing to do."""
