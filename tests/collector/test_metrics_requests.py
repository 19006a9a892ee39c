"""Metrics pass through with the tenant of their token, without secrets, and otherwise as they came."""

from typing import Any

import orjson
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from celeryscope.errors import Rejected
from celeryscope_collector.otlp.answers import JSON, PROTOBUF
from celeryscope_collector.pipeline import ExportRequest, Outcome, Pipeline
from celeryscope_collector.processors.identity import identity
from celeryscope_collector.processors.limits import Limits, limits
from celeryscope_collector.processors.redaction import redaction
from celeryscope_collector.records import METRICS
from celeryscope_collector.watched import Fixed
from collector_samples import attribute

PROCESSORS = {"identity": identity, "redaction": redaction(), "limits": limits(Limits(4, 256, 1024, 256))}
POINT = {
    "attributes": [attribute("queue", "celery"), attribute("api_key", "hunter2")],
    "asInt": "5",
    "timeUnixNano": "17",
}
GAUGE = {"name": "depth", "gauge": {"dataPoints": [POINT]}}


def run(body: bytes, media_type: str = JSON) -> Outcome:
    pipeline = Pipeline(Fixed(PROCESSORS), 1_000_000, 100_000)
    return pipeline.run(ExportRequest(METRICS, "shop", media_type, "", body, 17), 4)


def request_of(*metrics: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [attribute("celery.tenant", "bank"), attribute("service.name", "s")]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": list(metrics)}]}]}


@pytest.mark.parametrize("media_type", [JSON, PROTOBUF])
def test_a_metric_is_passed_on_with_our_tenant_and_without_secrets(media_type: str) -> None:
    request = request_of(GAUGE)
    protobuf = ParseDict(request, ExportMetricsServiceRequest()).SerializeToString()
    outcome = run(protobuf if media_type == PROTOBUF else orjson.dumps(request), media_type)
    (message,) = outcome.messages
    assert (message.topic, message.records, message.media_type) == ("celeryscope.metrics", 1, JSON)
    (passed,) = orjson.loads(message.value)["resourceMetrics"]
    assert passed["resource"]["attributes"] == [attribute("service.name", "s"), attribute("celery.tenant", "shop")]
    (point,) = passed["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"]
    assert point == {**POINT, "attributes": [attribute("queue", "celery"), attribute("api_key", "[redacted]")]}


def test_ids_of_exemplars_stay_hexadecimal_and_what_is_unknown_is_left_out() -> None:
    exemplar = {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "asDouble": 1.5,
        "filteredAttributes": [attribute("token", "t")],
    }
    sum_of = {"name": "runs", "sum": {"dataPoints": [{"asInt": 5, "exemplars": [exemplar]}]}, "newField": "hunter2"}
    (message,) = run(orjson.dumps(request_of(sum_of))).messages
    (passed,) = orjson.loads(message.value)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert "newField" not in passed
    (found,) = passed["sum"]["dataPoints"][0]["exemplars"]
    assert found == {**exemplar, "filteredAttributes": [attribute("token", "[redacted]")]}


def test_too_many_attributes_of_a_point_are_cut() -> None:
    point = {"asInt": "1", "attributes": [attribute(f"k{number}", "v") for number in range(9)]}
    (message,) = run(orjson.dumps(request_of({"name": "m", "gauge": {"dataPoints": [point]}}))).messages
    (found,) = orjson.loads(message.value)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"]
    assert len(found["attributes"]) == 4


def nested(depth: int) -> dict[str, Any]:
    return {"stringValue": "x"} if not depth else {"arrayValue": {"values": [nested(depth - 1)]}}


def test_attributes_may_lack_what_protobuf_leaves_out_and_one_that_is_malformed_costs_its_metric_only() -> None:
    lacking = [{"value": {"stringValue": "x"}}, {"key": "a"}, {"key": "m", "value": {"kvlistValue": {"values": [{}]}}}]
    deep = {"name": "deep", "gauge": {"dataPoints": [{"attributes": [{"key": "a", "value": nested(20)}]}]}}
    outcome = run(orjson.dumps(request_of({"name": "m", "gauge": {"dataPoints": [{"attributes": lacking}]}}, deep)))
    (message,) = outcome.messages
    (metric,) = orjson.loads(message.value)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    (point,) = metric["gauge"]["dataPoints"]
    assert point["attributes"] == [
        attribute("", "x"),
        {"key": "a", "value": {}},
        {"key": "m", "value": {"kvlistValue": {"values": [{"key": "", "value": {}}]}}},
    ]
    assert outcome.refused == {"malformed_attributes": 1}


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b'{"resourceMetrics": 5}'])
def test_what_is_no_export_of_metrics_is_rejected(body: bytes) -> None:
    with pytest.raises(Rejected):
        run(body)
    with pytest.raises(Rejected):
        run(b"\xff" + body, PROTOBUF)
