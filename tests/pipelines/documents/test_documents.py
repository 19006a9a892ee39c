"""What each kind of record becomes, to the letter."""

from typing import Any

import pytest

from celeryscope import otlp, semconv
from celeryscope.errors import Rejected
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.fingerprint import FailureRules, fingerprint_of
from celeryscope_pipelines.fingerprint.rules import Rule
from celeryscope_pipelines.records import LOG, SPAN, Origin, Record
from celeryscope_pipelines.writes import Op, Write

TASK = "9bfa2eea-92ca-4ade-834d-880314217778"
TRACE, SPAN_ID, PARENT = "690ceb594dfd78287953292bb6391613", "f6e96cb009cb793a", "633452a7f5d47bb6"
AT = 1795219623981227350
AT_US = AT // 1000
MOMENT, MOMENT_NS = "2026-11-21T00:07:03.981227Z", "2026-11-21T00:07:03.981227350Z"
RESOURCE = {"service.name": "shop-worker", "host.name": "worker-04", "process.pid": 1148, semconv.TENANT: "acme"}
RESOURCE_FIELDS = {
    "attributes": {
        "service.name": "shop-worker",
        "host.name": "worker-04",
        "process.pid": 1148,
        "agent.name": "celeryscope",
    },
    "schema_url": "https://opentelemetry.io/schemas/1.37.0",
}
SCOPE_FIELDS = {"name": "celeryscope", "version": "1.0"}
STACK = 'Traceback (most recent call last):\n  File "/srv/app/shop/pay.py", line 7, in charge\nValueError: order 7\n'
TASK_VALUES = {
    semconv.TASK_ID: TASK,
    semconv.TASK_NAME: "shop.pay",
    semconv.ATTEMPT: f"{TASK}:0",
    semconv.CLOCK: 42,
    semconv.SENT_AT: AT_US,
}
FAILURE_VALUES = {
    semconv.EXCEPTION_TYPE: "ValueError",
    semconv.EXCEPTION_MESSAGE: "order 7",
    semconv.EXCEPTION_STACKTRACE: STACK,
    semconv.FAILURE_KIND: "exception",
}
FINGERPRINT = fingerprint_of(
    kind="exception", task="shop.pay", exception_type="ValueError", message="order 7", stacktrace=STACK
)
FINGERPRINT_FIELDS = {
    semconv.FINGERPRINT: FINGERPRINT.key,
    semconv.FINGERPRINT_COARSE: FINGERPRINT.coarse_key,
    semconv.FINGERPRINT_EXACT: FINGERPRINT.exact_key,
    semconv.FINGERPRINT_VERSION: 2,
    semconv.FAILURE_TITLE: "ValueError in charge: order <n>",
    semconv.CULPRIT: "shop.pay in charge",
    semconv.CULPRIT_FILE: FINGERPRINT.culprit_file,
    semconv.CULPRIT_LINE: FINGERPRINT.culprit_line,
}


def origin(**attributes: Any) -> Origin:
    resource = {"attributes": otlp.attributes(RESOURCE | attributes)}
    return Origin(resource, {"name": "celeryscope", "version": "1.0"}, "https://opentelemetry.io/schemas/1.37.0")


def log(event: str = "", *, item: dict[str, Any] | None = None, **values: Any) -> Record:
    body = {"timeUnixNano": str(AT), "severityNumber": 9, "severityText": "INFO", "body": {"stringValue": "text"}}
    attributes = {semconv.LOG_RECORD_UID: "uid-1"} | values
    return Record(LOG, origin(), body | ({"eventName": event} if event else {}) | (item or {}), attributes)


def span(**item: Any) -> Record:
    known = {
        "traceId": TRACE,
        "spanId": SPAN_ID,
        "parentSpanId": PARENT,
        "name": "run/reports.tasks.daily_sales",
        "kind": 5,
        "startTimeUnixNano": str(AT),
        "endTimeUnixNano": str(AT + 41761268),
        "status": {"code": 2, "message": "ValueError: no"},
    }
    values = {semconv.TASK_NAME: "reports.tasks.daily_sales", semconv.STATE: "FAILURE", semconv.QUEUE_TIME: 0.017741}
    return Record(SPAN, origin(), known | item, values)


def log_body(**fields: Any) -> dict[str, Any]:
    return {
        "@timestamp": MOMENT_NS,
        "data_stream": {"type": "logs", "dataset": "celery.otel", "namespace": "acme"},
        "severity_number": 9,
        "severity_text": "INFO",
        "body": {"text": "text"},
        "resource": RESOURCE_FIELDS,
        "scope": SCOPE_FIELDS,
    } | fields


def test_a_span_has_the_shape_of_the_opentelemetry_collector_and_what_apm_reads() -> None:
    (write,) = documents_for(span())
    assert (write.op, write.index, write.id) == (Op.CREATE, "traces-celery.otel-acme", TRACE + SPAN_ID)
    assert write.body == {
        "@timestamp": MOMENT_NS,
        "data_stream": {"type": "traces", "dataset": "celery.otel", "namespace": "acme"},
        "trace_id": TRACE,
        "span_id": SPAN_ID,
        "parent_span_id": PARENT,
        "name": "run/reports.tasks.daily_sales",
        "kind": "Consumer",
        "duration": 41761268,
        "attributes": {
            "celery.task_name": "reports.tasks.daily_sales",
            "celery.state": "FAILURE",
            "celery.queue_time": 0.017741,
            "processor.event": "transaction",
            "timestamp.us": AT_US,
            "event.outcome": "failure",
            "event.success_count": 0,
            "transaction.id": SPAN_ID,
            "transaction.name": "reports.tasks.daily_sales",
            "transaction.type": "messaging",
            "transaction.result": "FAILURE",
            "transaction.sampled": True,
            "transaction.root": False,
            "transaction.duration.us": 41761,
            "transaction.representative_count": 1.0,
        },
        "links": [],
        "status": {"message": "ValueError: no", "code": "Error"},
        "resource": RESOURCE_FIELDS,
        "scope": SCOPE_FIELDS,
    }


def test_a_span_within_a_task_is_a_span_to_apm_and_an_unset_status_is_empty() -> None:
    record = span(kind=3, status={}, name="GET /", links=[{"traceId": TRACE.upper(), "spanId": PARENT}])
    (write,) = documents_for(record)
    assert write.body["kind"] == "Client"
    assert write.body["status"] == {}
    assert write.body["links"] == [{"trace_id": TRACE, "span_id": PARENT, "attributes": {}}]
    apm = {name: found for name, found in write.body["attributes"].items() if not name.startswith("celery.")}
    assert apm == {
        "processor.event": "span",
        "span.duration.us": 41761,
        "span.type": "app",
        "event.outcome": "success",
        "timestamp.us": AT_US,
    }


def test_an_exception_recorded_on_a_span_is_a_log_document_that_apm_does_not_count() -> None:
    event = {
        "name": "exception",
        "timeUnixNano": str(AT),
        "attributes": otlp.attributes({"exception.type": "ValueError", "exception.escaped": "False"}),
    }
    _, write = documents_for(span(events=[{"name": "other"}, event]))
    assert write == Write(
        Op.CREATE,
        "logs-celery.otel-acme",
        f"{TRACE}{SPAN_ID}-1",
        {
            "@timestamp": MOMENT_NS,
            "data_stream": {"type": "logs", "dataset": "celery.otel", "namespace": "acme"},
            "trace_id": TRACE,
            "span_id": SPAN_ID,
            "event_name": "exception",
            "attributes": {"exception.type": "ValueError", "exception.escaped": "False"},
            "resource": RESOURCE_FIELDS,
            "scope": SCOPE_FIELDS,
        },
    )


def test_a_line_of_the_application_is_one_document() -> None:
    item = {"traceId": TRACE, "spanId": SPAN_ID, "observedTimeUnixNano": str(AT)}
    assert documents_for(log(item=item, order=7)) == [
        Write(
            Op.CREATE,
            "logs-celery.otel-acme",
            "uid-1",
            log_body(
                attributes={"log.record.uid": "uid-1", "order": 7},
                observed_timestamp=MOMENT_NS,
                trace_id=TRACE,
                span_id=SPAN_ID,
            ),
        )
    ]


def test_a_structured_body_is_kept_as_one() -> None:
    structured = {"kvlistValue": {"values": otlp.attributes({"order": 7})}}
    assert documents_for(log(item={"body": structured}))[0].body["body"] == {"structured": {"order": 7}}
    listed = {"arrayValue": {"values": [{"intValue": "7"}]}}
    assert documents_for(log(item={"body": listed}))[0].body["body"] == {"structured": {"values": [7]}}
    assert documents_for(log(item={"body": {"intValue": "7"}}))[0].body["body"] == {"text": "7"}


@pytest.mark.parametrize("state", ["sent", "received", "started", "succeeded", "ignored", "revoked"])
def test_an_event_without_a_failure_is_a_snapshot_of_its_attempt(state: str) -> None:
    record = log(f"celery.task.{state}", item={"traceId": TRACE, "spanId": SPAN_ID}, **TASK_VALUES)
    assert documents_for(record) == [
        Write(
            Op.VERSIONED,
            "celery-tasks-2026.11.21",
            f"acme/{TASK}:0",
            {
                "@timestamp": MOMENT,
                "celery.task_id": TASK,
                "celery.task_name": "shop.pay",
                "celery.attempt": f"{TASK}:0",
                "celery.clock": 42,
                "celery.sent_at": MOMENT,
                "celery.tenant": "acme",
                "celery.event": f"celery.task.{state}",
                "service.name": "shop-worker",
                "host.name": "worker-04",
                "process.pid": 1148,
                "trace_id": TRACE,
                "span_id": SPAN_ID,
            },
            version=42,
        )
    ]


def test_an_attempt_is_of_the_day_it_was_sent_else_received_else_of_the_event() -> None:
    day = 86_400_000_000
    sent, received = {semconv.SENT_AT: AT_US - 2 * day}, {semconv.RECEIVED_AT: AT_US - day}
    named = {semconv.ATTEMPT: "a:0", semconv.CLOCK: 1}
    for known, index in ((sent | received, "19"), (received, "20"), ({}, "21"), ({semconv.SENT_AT: -1}, "21")):
        (write,) = documents_for(log(semconv.EVENT_TASK_RECEIVED, **named, **known))
        assert write.index == f"celery-tasks-2026.11.{index}"
        assert write.body["@timestamp"].startswith(f"2026-11-{index}T00:07:03.981227")


@pytest.mark.parametrize("event", ["failed", "lost", "unknown", "rejected"])
def test_a_failure_is_an_error_to_apm_a_snapshot_and_a_cluster(event: str) -> None:
    error, attempt, cluster = documents_for(log(f"celery.task.{event}", **TASK_VALUES, **FAILURE_VALUES))
    assert (error.op, error.index, error.id) == (Op.CREATE, "logs-celery.otel-acme", "uid-1")
    assert error.body == log_body(
        event_name="exception",
        attributes={
            **TASK_VALUES,
            **FAILURE_VALUES,
            **FINGERPRINT_FIELDS,
            "celery.sent_at": MOMENT,
            "log.record.uid": "uid-1",
            "celery.event": f"celery.task.{event}",
            "processor.event": "error",
            "error.id": "uid-1",
            "error.grouping_key": FINGERPRINT.key,
            "error.grouping_name": "ValueError in charge: order <n>",
            "error.exception.handled": False,
            "timestamp.us": AT_US,
            "transaction.sampled": True,
            "transaction.type": "messaging",
        },
    )
    assert (attempt.op, attempt.id, attempt.version) == (Op.VERSIONED, f"acme/{TASK}:0", 42)
    assert FINGERPRINT_FIELDS.items() <= attempt.body.items()
    assert attempt.body[semconv.EXCEPTION_MESSAGE] == "order 7"
    assert semconv.EXCEPTION_STACKTRACE not in attempt.body
    assert cluster == Write(
        Op.FAILURE,
        "celery-failures",
        f"acme/{FINGERPRINT.key}",
        {
            **{name: told for name, told in FINGERPRINT_FIELDS.items() if name != semconv.FINGERPRINT_EXACT},
            **FAILURE_VALUES,
            "@timestamp": MOMENT_NS,
            "celery.first_seen": MOMENT_NS,
            "celery.last_seen": MOMENT_NS,
            "celery.tenant": "acme",
            "celery.task_name": "shop.pay",
            "celery.task_id": TASK,
            "celery.attempt": f"{TASK}:0",
            "service.name": "shop-worker",
        },
    )


def test_the_programs_own_word_and_the_users_rules_decide_on_the_cluster() -> None:
    named = log(semconv.EVENT_TASK_FAILED, **TASK_VALUES, **FAILURE_VALUES, **{semconv.FINGERPRINT_OVERRIDE: "ours"})
    plain = log(semconv.EVENT_TASK_FAILED, **TASK_VALUES, **FAILURE_VALUES)
    rules = FailureRules(rules=(Rule("all", "ours", title="Ours", tasks=("*",)),))
    by_program, by_rule = documents_for(named)[-1], documents_for(plain, rules)[-1]
    assert by_program.id == by_rule.id != documents_for(plain)[-1].id
    assert by_program.body[semconv.FINGERPRINT_OVERRIDE] == "ours"
    assert by_rule.body[semconv.FAILURE_TITLE] == "Ours"


def test_owner_and_deployment_stand_in_all_documents_of_a_failure_and_in_those_of_its_span() -> None:
    owner = {
        semconv.OWNER_TEAM: "payments",
        semconv.OWNER_SEVERITY: "critical",
        semconv.OWNER_RUNBOOK: "https://wiki/pay",
        semconv.OWNER_TIER: "1",
    }
    deployment = {
        semconv.SERVICE_VERSION: "2.10",
        semconv.DEPLOYMENT_ENVIRONMENT: "production",
        semconv.K8S_CLUSTER: "eu-1",
        semconv.CLOUD_REGION: "eu-west-1",
    }
    failure, run = log(semconv.EVENT_TASK_FAILED, **TASK_VALUES, **FAILURE_VALUES, **owner), span()
    failure.origin = run.origin = origin(**deployment)
    run.attributes |= owner

    error, attempt, cluster = documents_for(failure)
    (of_span,) = documents_for(run)

    for document in (error.body, of_span.body):
        assert owner.items() <= document["attributes"].items()
        assert deployment.items() <= document["resource"]["attributes"].items()
    for entity in (attempt.body, cluster.body):
        assert (owner | deployment).items() <= entity.items()


@pytest.mark.parametrize(("ratio", "stands_for"), [(0.25, 4), (1, 1), (0, 1), (-1, 1), ("0.5", 1), (None, 1)])
def test_a_span_that_sampling_has_chosen_counts_for_those_it_stands_for(ratio: Any, stands_for: float) -> None:
    record = span()
    record.attributes[semconv.SAMPLING_RATIO] = ratio
    assert documents_for(record)[0].body["attributes"]["transaction.representative_count"] == stands_for


def test_a_retry_is_a_line_under_its_own_name_of_the_failures_cluster() -> None:
    line, attempt = documents_for(log(semconv.EVENT_TASK_RETRIED, **TASK_VALUES, **FAILURE_VALUES))
    assert line.body["event_name"] == "celery.task.retried"
    assert "processor.event" not in line.body["attributes"]
    assert FINGERPRINT_FIELDS.items() <= line.body["attributes"].items()
    assert FINGERPRINT_FIELDS.items() <= attempt.body.items()


def test_a_retry_without_an_exception_is_of_no_cluster() -> None:
    for write in documents_for(log(semconv.EVENT_TASK_RETRIED, **TASK_VALUES)):
        assert semconv.FINGERPRINT not in write.body.get("attributes", write.body)


def test_the_fingerprint_leaves_the_record_as_it_came() -> None:
    record = log(semconv.EVENT_TASK_FAILED, **TASK_VALUES, **FAILURE_VALUES)
    before = dict(record.attributes)
    assert documents_for(record) == documents_for(record)
    assert record.attributes == before


@pytest.mark.parametrize(
    ("event", "key", "index", "identity"),
    [
        (semconv.EVENT_WORKER_ONLINE, semconv.WORKER, "celery-workers", "acme/name@host"),
        (semconv.EVENT_WORKER_HEARTBEAT, semconv.WORKER, "celery-workers", "acme/name@host"),
        (semconv.EVENT_WORKER_OFFLINE, semconv.WORKER, "celery-workers", "acme/name@host"),
        (semconv.EVENT_QUEUE_DEPTH, semconv.MESSAGING_DESTINATION, "celery-queues", "acme/name@host"),
        (semconv.EVENT_BEAT_DUE, semconv.SCHEDULE, "celery-schedules", "acme/shop-worker/name@host"),
        (semconv.EVENT_BEAT_SENT, semconv.SCHEDULE, "celery-schedules", "acme/shop-worker/name@host"),
        (semconv.EVENT_BEAT_FAILED, semconv.SCHEDULE, "celery-schedules", "acme/shop-worker/name@host"),
    ],
)
def test_a_worker_queue_or_schedule_is_a_line_and_its_last_snapshot(
    event: str, key: str, index: str, identity: str
) -> None:
    line, entity = documents_for(log(event, **{key: "name@host", semconv.CLOCK: 43}))
    assert line.body["event_name"] == event
    assert entity == Write(
        Op.VERSIONED,
        index,
        identity,
        {
            key: "name@host",
            "celery.clock": 43,
            "log.record.uid": "uid-1",
            "@timestamp": MOMENT_NS,
            "celery.tenant": "acme",
            "celery.event": event,
            "service.name": "shop-worker",
            "host.name": "worker-04",
        },
        version=43,
    )


def test_queues_of_one_name_on_two_brokers_are_two_queues() -> None:
    known = {semconv.MESSAGING_DESTINATION: "celery", semconv.CLOCK: 43}
    ids = {documents_for(log(semconv.EVENT_QUEUE_DEPTH, **known, **{semconv.BROKER: url}))[1].id for url in ("a", "b")}
    assert ids == {"acme/a/celery", "acme/b/celery"}


def test_the_children_of_a_worker_stay_side_by_side_in_its_snapshot() -> None:
    children = {semconv.CHILD_PIDS: [7, 8], semconv.CHILD_MEMORY: [100, 200], semconv.CHILD_CPU: [0.5, 1]}
    _, entity = documents_for(
        log(semconv.EVENT_WORKER_HEARTBEAT, **{semconv.WORKER: "w", semconv.CLOCK: 1}, **children)
    )
    assert children.items() <= entity.body.items()


def test_the_moments_of_a_schedule_and_of_an_outage_are_dates() -> None:
    moments = (semconv.BEAT_DUE_AT, semconv.BEAT_LAST_RUN_AT, semconv.BEAT_NEXT_AT, semconv.BROKER_LOST_AT)
    (line,) = documents_for(log(semconv.EVENT_BROKER_LOST, **dict.fromkeys(moments, AT_US)))
    assert {line.body["attributes"][name] for name in moments} == {MOMENT}


@pytest.mark.parametrize(
    "event",
    [
        semconv.EVENT_BROKER_LOST,
        semconv.EVENT_BROKER_REGAINED,
        semconv.EVENT_WORKER_CONFIG,
        semconv.EVENT_TASK_STACK,
    ],
)
def test_another_event_is_a_line_under_its_own_name(event: str) -> None:
    (write,) = documents_for(log(event))
    assert write.body["event_name"] == event


def test_without_a_tenant_a_record_is_the_default_ones() -> None:
    record = log()
    record.origin = Origin({}, {})
    assert documents_for(record)[0].index == "logs-celery.otel-default"


NAMED = {semconv.ATTEMPT: "a:0", semconv.CLOCK: 1}
OF_BAD_TENANT = log()
OF_BAD_TENANT.origin = origin(**{semconv.TENANT: "Acme/*"})


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (span(traceId=None), "span_without_id"),
        (span(traceId="0" * 32), "span_without_id"),
        (span(spanId="aQy8kmCR+dY="), "span_without_id"),
        (span(startTimeUnixNano="0"), "bad_time"),
        (span(startTimeUnixNano=str(2**63)), "bad_time"),
        (log(**{semconv.LOG_RECORD_UID: None}), "log_without_uid"),
        (log(**{semconv.LOG_RECORD_UID: "é" * 300}), "id_too_long"),
        (log(item={"timeUnixNano": None}), "bad_time"),
        (log(semconv.EVENT_TASK_SENT, **NAMED | {semconv.ATTEMPT: None}), "event_without_name"),
        (log(semconv.EVENT_TASK_SENT, **NAMED | {semconv.ATTEMPT: "a" * 600}), "id_too_long"),
        (log(semconv.EVENT_TASK_SENT, **NAMED | {semconv.CLOCK: None}), "event_without_clock"),
        (log(semconv.EVENT_TASK_SENT, **NAMED | {semconv.CLOCK: True}), "event_without_clock"),
        (log(semconv.EVENT_TASK_SENT, **NAMED | {semconv.CLOCK: 0}), "event_without_clock"),
        (log(semconv.EVENT_WORKER_ONLINE, **{semconv.CLOCK: 1}), "event_without_name"),
        (log(semconv.EVENT_TASK_FAILED), "event_without_name"),
        (OF_BAD_TENANT, "bad_tenant"),
    ],
)
def test_a_record_that_lacks_what_its_documents_need_is_rejected_with_a_reason(record: Record, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        documents_for(record)
    assert caught.value.reason == reason
