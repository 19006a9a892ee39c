"""A message in JSON cut into its scopes and records, whose texts stay as they are."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from msgspec import Raw

from celeryscope_pipelines.records import KEYS, Keys, Origin


class Texts(NamedTuple):
    """The records of one resource and scope, each as it is written."""

    origin: Origin
    records: list[bytes]


class NotAsExpected(Exception):
    """The message is laid out in another way, or is no JSON; whoever decodes it says which."""


def _reader(keys: Keys) -> Callable[[bytes], Any]:
    """Reads a message's ``resources`` of ``scopes`` of ``records``, under the names that they have there."""
    names = {"resources": keys.outer, "scopes": keys.inner, "records": keys.leaf}
    options: dict[str, Any] = {
        "rename": names | {"schema_url": "schemaUrl"},
        "forbid_unknown_fields": True,
        "kw_only": True,
    }
    url, none = ("schema_url", str, ""), Raw(b"{}")
    scope: Any = msgspec.defstruct("Scope", [("scope", Raw, none), url, ("records", list[Raw])], **options)
    resource: Any = msgspec.defstruct("Resource", [("resource", Raw, none), url, ("scopes", list[scope])], **options)
    message: Any = msgspec.defstruct("Message", [("resources", list[resource])], **options)
    return msgspec.json.Decoder(message).decode


_READ: Final = {kind: _reader(keys) for kind, keys in KEYS.items()}
_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, orjson.JSONDecodeError, RecursionError)


def cut(value: bytes, kind: str) -> list[Texts]:
    """In their order; all of it is known to be valid JSON. Raises NotAsExpected."""
    try:
        # msgspec does not look at the encoding of texts that it leaves as they are.
        value.decode()
        return [
            Texts(_origin(bytes(resource.resource), bytes(scope.scope), resource.schema_url), scope.records)
            for resource in _READ[kind](value).resources
            for scope in resource.scopes
        ]
    except _ERRORS as error:
        raise NotAsExpected from error


@lru_cache(maxsize=1024)
def _origin(resource: bytes, scope: bytes, schema_url: str) -> Origin:
    """One for all messages of a process, which come with the same resource again and again."""
    parsed = orjson.loads(resource), orjson.loads(scope)
    if not all(isinstance(part, dict) for part in parsed):
        raise NotAsExpected
    return Origin(*parsed, schema_url)
