"""OTLP metrics on their way to a topic of their own: validated, of the right tenant, redacted, otherwise as they came.

Celeryscope itself reads no metrics; whoever wants those of the same senders in Kafka can have them there.
"""

import base64
from collections.abc import Iterator
from typing import Any, Final

import orjson
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from celeryscope.errors import Rejected
from celeryscope_collector.otlp.answers import JSON
from celeryscope_collector.otlp.extent import check_json, check_protobuf
from celeryscope_collector.otlp.validity import checked_attributes, checked_origin
from celeryscope_collector.records import METRICS, Origin

_IDS: Final = ("traceId", "spanId")
_LISTS: Final = ("attributes", "filteredAttributes", "metadata")


def decoded_metrics(body: bytes, media_type: str) -> Iterator[tuple[Origin, list[dict[str, Any]]]]:
    """Each resource and scope with its metrics, as OTLP/JSON dicts. Raises Rejected when the request is no OTLP."""
    try:
        message = _from_json(body) if media_type == JSON else _from_protobuf(body)
    except (DecodeError, ParseError, ValueError, TypeError, RecursionError) as error:
        raise Rejected("malformed", f"the body is no valid export request of metrics: {error}") from None
    request = MessageToDict(message, use_integers_for_enums=True)
    _respell_ids(request, lambda text: base64.b64decode(text).hex())
    for by_resource in request.get(METRICS.resource_key, ()):
        for by_scope in by_resource.get(METRICS.scope_key, ()):
            resource, scope = (checked_origin(part) for part in (by_resource.get("resource"), by_scope.get("scope")))
            origin = Origin(resource, scope, by_resource.get("schemaUrl", ""), by_scope.get("schemaUrl", ""))
            yield origin, by_scope.get(METRICS.item_key, [])


def attribute_lists(part: Any) -> Iterator[list[dict[str, Any]]]:
    """All lists of attributes inside of a metric: its own, those of data points and of exemplars.

    Raises Rejected when one is malformed.
    """
    if isinstance(part, dict):
        for name, value in part.items():
            if name in _LISTS:
                yield checked_attributes(value)
            else:
                yield from attribute_lists(value)
    elif isinstance(part, list):
        for member in part:
            yield from attribute_lists(member)


def _from_protobuf(body: bytes) -> ExportMetricsServiceRequest:
    check_protobuf(body, METRICS)
    message = ExportMetricsServiceRequest()
    message.ParseFromString(body)
    return message


def _from_json(body: bytes) -> ExportMetricsServiceRequest:
    check_json(body, numbers=True)
    request = orjson.loads(body)
    if type(request) is not dict:
        raise TypeError("it must be a JSON object")
    _respell_ids(request, lambda text: base64.b64encode(bytes.fromhex(text)).decode())
    message = ExportMetricsServiceRequest()
    ParseDict(request, message, ignore_unknown_fields=True)
    return message


def _respell_ids(part: Any, respell: Any) -> None:
    # Protobuf's own JSON has bytes in base64, OTLP/JSON has ids in hexadecimal.
    if isinstance(part, dict):
        for name in _IDS:
            if isinstance(part.get(name), str):
                part[name] = respell(part[name])
        part = list(part.values())
    if isinstance(part, list):
        for member in part:
            _respell_ids(member, respell)
