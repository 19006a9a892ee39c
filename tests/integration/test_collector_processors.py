"""A processors file at work in a real collector: what it adds and drops, what is counted, and how it changes."""

import signal
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from celeryscope import otlp, semconv
from collector_process import (
    Collector,
    account,
    attributes_of,
    collecting,
    log,
    log_records,
    logs_request,
    messages,
    resource_of,
    unique,
)
from servers import Kafka
from support.waiting import until

pytestmark = pytest.mark.kafka

FILE = """
processors:
- identity
- deployment: {rules: [{attributes: {cloud.region: eu}}]}
- drop:
    rules:
    - {name: pings, tasks: [health.*]}
    - {name: chatter, loggers: [botocore], below: WARN}
- redaction: {terms: [iban]}
- limits:
- ownership: {rules: [{tasks: [shop.*], team: payments, runbook: "https://wiki/pay"}]}
- sampling: {ratio: 0.0}
"""


@pytest.fixture(scope="module")
def collector(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    folder = tmp_path_factory.mktemp("collector")
    (folder / "processors.yaml").write_text(FILE)
    settings = {"CELERYSCOPE_COLLECTOR_PROCESSORS_FILE": str(folder / "processors.yaml")}
    with collecting(kafka, folder, settings) as running:
        yield running


def span(number: int, status: int = 1, **attributes: Any) -> dict[str, Any]:
    return {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": "run/x",
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000000020000000",
        "status": {"code": status},
        "attributes": otlp.attributes(attributes),
    }


def traces_request(*spans: Any) -> bytes:
    return orjson.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": spans}]}]})


def test_owner_and_deployment_are_in_kafka_and_secrets_are_not(collector: Collector, kafka: Kafka) -> None:
    text, secret = unique(), unique()
    record = log(text, celery__task_name="shop.pay", customer_iban=secret)

    assert collector.post("/v1/logs", logs_request(record)).status == 200

    stored_messages = messages(kafka.bootstrap_servers, semconv.TOPIC_LOGS, collector.tenant)
    (message,) = [message for message in stored_messages if text.encode() in message.value]
    assert attributes_of(resource_of(orjson.loads(message.value)))[semconv.CLOUD_REGION] == "eu"
    (stored,) = [record for record in log_records(kafka.bootstrap_servers, collector.tenant) if text in str(record)]
    assert attributes_of(stored)[semconv.OWNER_TEAM] == "payments"
    assert attributes_of(stored)[semconv.OWNER_RUNBOOK] == "https://wiki/pay"
    assert secret not in str(stored)


def test_every_record_received_is_accepted_refused_or_dropped_under_a_name(collector: Collector, kafka: Kafka) -> None:
    before = {kind: account(collector, kind) for kind in ("log", "span")}
    logger = {"logger__name": "botocore"}
    sent = [
        *(log("kept") for _ in range(7)),
        *(log("ping", celery__task_name="health.ping") for _ in range(5)),
        *(log("noise", **logger) for _ in range(3)),
        log("kept", **logger) | {"severityNumber": 13},
        *(log("left out", celery__task_id="t") | {"traceId": f"{n:032x}"} for n in range(1, 5)),
        {"body": "malformed"},
        17,
    ]
    assert collector.post("/v1/logs", logs_request(*sent)).status == 200
    spans = [*(span(n) for n in range(1, 11)), span(99, status=2), span(98, celery__task_name="x"), {"traceId": "no"}]
    spans.append(span(97, **{semconv.TASK_NAME: "health.ping"}))
    assert collector.post("/v1/traces", traces_request(*spans)).status == 200

    logs = account(collector, "log") - before["log"]
    assert logs == {
        "received": 22,
        "accepted": 8,
        "refused malformed_body": 1,
        "refused malformed_log_record": 1,
        "dropped drop.pings": 5,
        "dropped drop.chatter": 3,
        "dropped sampling": 4,
    }
    traces = account(collector, "span") - before["span"]
    assert traces == {
        "received": 14,
        "accepted": 1,
        "refused invalid_ids": 1,
        "dropped drop.pings": 1,
        "dropped sampling": 11,
    }
    assert len(sent) == 22
    assert len(spans) == 14


def test_the_file_is_read_again_when_it_changes_and_stays_as_it_was_while_it_is_wrong(
    collector: Collector, kafka: Kafka
) -> None:
    file = collector.folder / "processors.yaml"

    def team_of(task: str) -> str:
        text = unique()
        assert collector.post("/v1/logs", logs_request(log(text, celery__task_name=task))).status == 200
        (stored,) = [record for record in log_records(kafka.bootstrap_servers, collector.tenant) if text in str(record)]
        return str(attributes_of(stored).get(semconv.OWNER_TEAM))

    assert team_of("shop.pay") == "payments"
    file.write_text(FILE.replace("team: payments", "team: money"))
    assert team_of("shop.pay") == "money"

    file.write_text(FILE.replace("team: payments", "taem: payments"))
    assert team_of("shop.pay") == "money"
    collector.process.send_signal(signal.SIGHUP)
    told = f"{file}:11:41: unknown key `taem`: did you mean `team`?"
    until(lambda: (collector.folder / "collector.log").read_text().count(told) == 2, what="told at SIGHUP, too")
    file.unlink()
    assert team_of("shop.pay") == "money"

    file.write_text(FILE)
    assert team_of("shop.pay") == "payments"
