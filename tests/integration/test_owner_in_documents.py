"""From a sender's failure to the documents: what the collector's processors add arrives in every one of them."""

from typing import Any

from celeryscope import semconv
from celeryscope_collector.pipeline import ExportRequest, Pipeline
from celeryscope_collector.prepare import prepared
from celeryscope_collector.processors_file.reading import checked
from celeryscope_collector.records import LOGS, TRACES, Signal
from celeryscope_collector.watched import Fixed
from celeryscope_pipelines.decode import decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.writes import Write
from support import messages

FILE = """
processors:
- identity
- deployment: {rules: [{attributes: {deployment.environment.name: production, cloud.region: eu-west-1}}]}
- ownership:
    rules: [{tasks: [shop.*], team: payments, severity: critical, runbook: "https://wiki/pay", tier: "1"}]
- sampling: {ratio: 0.5}
"""
OWNER = {
    semconv.OWNER_TEAM: "payments",
    semconv.OWNER_SEVERITY: "critical",
    semconv.OWNER_RUNBOOK: "https://wiki/pay",
    semconv.OWNER_TIER: "1",
}
DEPLOYMENT = {semconv.DEPLOYMENT_ENVIRONMENT: "production", semconv.CLOUD_REGION: "eu-west-1"}


def documents(signal: Signal, kind: str, *payloads: bytes) -> list[Write]:
    sections, _ = checked(FILE)
    pipeline = Pipeline(Fixed(prepared(sections)), 1_000_000, 100_000)
    body = messages.request({"log": "logs", "span": "spans"}[kind], "claimed", *payloads)
    outcome = pipeline.run(ExportRequest(signal, "acme", "application/json", "", body, 17), 1)
    records = [record for message in outcome.messages for record in decode(message.value, kind).records]
    return [write for record in records for write in documents_for(record)]


def of(document: dict[str, Any]) -> dict[str, Any]:
    resource = document.get("resource", {}).get("attributes", {})
    return document | document.get("attributes", {}) | resource


def test_owner_and_deployment_stand_in_log_attempt_and_cluster_of_a_failure() -> None:
    writes = documents(LOGS, "log", messages.event(semconv.EVENT_TASK_FAILED, "t-1"))
    assert [write.index.partition("-20")[0] for write in writes] == [
        "logs-celery.otel-acme",
        semconv.INDEX_TASKS,
        semconv.INDEX_FAILURES,
    ]
    for write in writes:
        assert (OWNER | DEPLOYMENT).items() <= of(write.body).items()


def test_a_span_that_chance_has_kept_counts_for_those_it_stands_for_and_has_its_owner() -> None:
    spans = [messages.span(f"{n:032x}", f"{n:016x}", **{semconv.TASK_NAME: "shop.pay"}) for n in range(1, 41)]
    writes = documents(TRACES, "span", *spans)
    assert 0 < len(writes) < 40
    for write in writes:
        assert (OWNER | DEPLOYMENT).items() <= of(write.body).items()
        assert write.body["attributes"]["transaction.representative_count"] == 2
