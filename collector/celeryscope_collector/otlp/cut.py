"""An export request in protobuf cut into its scopes and records, which stay as they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from celeryscope.service.protobuf import export_request
from celeryscope_collector.otlp.wire import field, fields
from celeryscope_collector.records import Signal

RECORDS: Final = 2
"""The number of the field of ScopeSpans and of ScopeLogs that holds the records."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource with one of its scopes, as a dict of OTLP/JSON without records; and the records, each as it came."""

    by_resource: dict[str, Any]
    by_scope: dict[str, Any]
    payloads: list[bytes]
    fields: Sequence[bytes] = ()
    """Of protobuf the same as fields of the scope, which is how they are passed on."""


def scopes(body: bytes, signal: Signal) -> Iterator[Scope]:
    """In their order. Raises NotPlain when the request isn't laid out as expected, DecodeError when it is broken."""
    # Field 1 of a request: resources; of these 1: the resource, 2: scopes, 3: URL of the schema; of scopes the same.
    for by_resource in fields(body, known=1)[1]:
        _, resources, inner, resource_schemas = fields(by_resource, known=3)
        of_resource = _joined(1, resources) + _joined(3, resource_schemas)
        if not inner:
            # There is nothing to cut; whether it is protobuf has to be known nevertheless.
            export_request(field(1, of_resource), signal.kind)
        for by_scope in inner:
            whole, scope_parts, payloads, scope_schemas = fields(by_scope, known=3, whole=RECORDS)
            of_scope = _joined(1, scope_parts) + _joined(3, scope_schemas)
            request = export_request(field(1, of_resource + field(2, of_scope)), signal.kind)
            decoded = request[signal.resource_key][0]
            yield Scope(decoded, decoded[signal.scope_key][0], payloads, whole)


def items_of(payloads: list[bytes], signal: Signal) -> list[dict[str, Any]]:
    """The records as dicts of OTLP/JSON, not checked. Raises DecodeError when one is broken."""
    scope = field(2, b"".join([field(RECORDS, payload) for payload in payloads]))
    decoded = export_request(field(1, scope), signal.kind)[signal.resource_key][0]
    items: list[dict[str, Any]] = decoded[signal.scope_key][0][signal.item_key]
    return items


def _joined(number: int, contents: list[bytes]) -> bytes:
    return b"".join(field(number, content) for content in contents)
