"""An export request in JSON cut into its scopes and records, whose texts stay as they are."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw

from celeryscope_collector.otlp.cut import Scope
from celeryscope_collector.records import SIGNALS, Signal


def _reader(signal: Signal) -> Callable[[bytes], Any]:
    """Reads a request's ``resources`` of ``scopes`` of ``records``, under the names that they have for that signal."""
    names = {"resources": signal.resource_key, "scopes": signal.scope_key, "records": signal.item_key}
    options: dict[str, Any] = {"rename": names | {"schema_url": "schemaUrl"}, "forbid_unknown_fields": True}
    url, none = ("schema_url", str, ""), Raw(b"null")
    scope: Any = msgspec.defstruct("Scope", [("scope", Raw, none), url, ("records", list[Raw], [])], **options)
    resource: Any = msgspec.defstruct(
        "Resource", [("resource", Raw, none), url, ("scopes", list[scope], [])], **options
    )
    request: Any = msgspec.defstruct("Request", [("resources", list[resource], [])], **options)
    return msgspec.json.Decoder(request).decode


_READ: Final = {signal.kind: _reader(signal) for signal in SIGNALS}


def scopes(body: bytes, signal: Signal) -> Iterator[Scope]:
    """In their order; of the records it is known that they are JSON, not what they hold.

    Raises one of NOT_AS_EXPECTED when the request is laid out in another way, or is no JSON.
    """
    # The texts are not looked at by msgspec.
    body.decode()
    for resource in _READ[signal.kind](body).resources:
        by_resource = {"resource": _parsed(resource.resource), "schemaUrl": resource.schema_url}
        for scope in resource.scopes:
            by_scope = {"scope": _parsed(scope.scope), "schemaUrl": scope.schema_url}
            yield Scope(by_resource, by_scope, list(map(bytes, scope.records)))


def _parsed(text: Raw) -> Any:
    return orjson.loads(memoryview(text))


NOT_AS_EXPECTED: Final = (msgspec.MsgspecError, UnicodeDecodeError, orjson.JSONDecodeError, RecursionError)
