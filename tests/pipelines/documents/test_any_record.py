"""Whatever stands in a record, it becomes documents that Elasticsearch takes, or is rejected with a reason."""

import json
from typing import Any
from uuid import uuid4

import orjson
import pytest
from elasticsearch import Elasticsearch as Client
from elasticsearch.helpers import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.decode import decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.provisioning import provision
from celeryscope_pipelines.records import LOG, SPAN, Record
from celeryscope_pipelines.writes import Op, Write
from servers import Elasticsearch, Kafka
from support.search import client_of

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KINDS = ["stringValue", "intValue", "boolValue", "doubleValue", "bytesValue", "arrayValue", "kvlistValue", "newValue"]
KEYS = st.sampled_from(
    sorted(name for key, name in vars(semconv).items() if key.isupper() and str(name).startswith(("celery.", "exc")))
) | st.sampled_from(["a", "a.b", ".a", "a.", "a..b", ".", " ", "_id", "trace.id", "", "\0", "log.record.uid"])


def any_values(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.lists(st.fixed_dictionaries({"key": KEYS | JUNK, "value": inner}), max_size=3)
    return (
        st.tuples(st.sampled_from(KINDS), JUNK).map(lambda pair: dict([pair]))
        | st.lists(inner, max_size=3).map(lambda values: {"arrayValue": {"values": values}})
        | pairs.map(lambda values: {"kvlistValue": {"values": values}})
    )


def mostly(good: Any) -> st.SearchStrategy[Any]:
    return st.integers(0, 15).flatmap(lambda chance: st.just(good) if chance else JUNK)


VALUES = st.recursive(JUNK, any_values, max_leaves=5)
ATTRIBUTES = st.lists(st.fixed_dictionaries({"key": KEYS, "value": VALUES}), max_size=4) | JUNK
LINKS = st.lists(st.fixed_dictionaries({"traceId": JUNK, "attributes": ATTRIBUTES}) | JUNK, max_size=2)
EVENTS = st.lists(
    st.fixed_dictionaries({"name": st.just("exception"), "timeUnixNano": JUNK, "attributes": ATTRIBUTES}) | JUNK,
    max_size=2,
)
GOOD: list[dict[str, Any]] = [
    {"key": "log.record.uid", "value": {"stringValue": "uid"}},
    {"key": "celery.attempt", "value": {"stringValue": "a:0"}},
    {"key": "celery.worker", "value": {"stringValue": "w"}},
    {"key": "celery.clock", "value": {"intValue": "7"}},
]
NAMES = st.sampled_from(sorted([*semconv.TASK_STATES, semconv.EVENT_WORKER_ONLINE, semconv.EVENT_BEAT_SENT, "", "x"]))
NEEDED = {
    "traceId": mostly("690ceb594dfd78287953292bb6391613"),
    "spanId": mostly("f6e96cb009cb793a"),
    "timeUnixNano": mostly("1795219623981227350"),
    "startTimeUnixNano": mostly("1795219623981227350"),
    "attributes": ATTRIBUTES.map(lambda found: found + GOOD if isinstance(found, list) else GOOD),
}
MORE = {
    "parentSpanId": JUNK,
    "name": JUNK,
    "kind": JUNK,
    "status": JUNK | st.fixed_dictionaries({"code": JUNK, "message": JUNK}),
    "links": LINKS,
    "events": EVENTS,
    "eventName": NAMES | JUNK,
    "body": VALUES,
    "severityNumber": JUNK,
    "severityText": JUNK,
    "observedTimeUnixNano": JUNK,
    "endTimeUnixNano": JUNK,
}


def records(kind: str, item: dict[str, Any], resource: Any, scope: Any, url: Any) -> list[Record]:
    outer, inner, leaf = {
        SPAN: ("resourceSpans", "scopeSpans", "spans"),
        LOG: ("resourceLogs", "scopeLogs", "logRecords"),
    }[kind]
    request = {outer: [{"resource": resource, "schemaUrl": url, inner: [{"scope": scope, leaf: [item]}]}]}
    return decode(orjson.dumps(request), kind).records


def writes_of(*arguments: Any) -> list[Write]:
    try:
        return [write for record in records(*arguments) for write in documents_for(record)]
    except Rejected:
        return []


RECORDS = st.tuples(
    st.sampled_from([SPAN, LOG]),
    st.fixed_dictionaries(NEEDED, optional=MORE),
    st.just({}) | st.fixed_dictionaries({"attributes": ATTRIBUTES}) | JUNK,
    st.just({}) | st.fixed_dictionaries({"name": JUNK, "version": JUNK, "attributes": ATTRIBUTES}) | JUNK,
    JUNK,
)


@settings(deadline=None, max_examples=400)
@given(RECORDS)
def test_junk_in_any_position_is_rejected_or_left_out(record: Any) -> None:
    for write in writes_of(*record):
        assert write.id
        assert write.index == write.index.lower()
        orjson.dumps(write.body)


def test_hundreds_of_levels_are_no_exception() -> None:
    deep: Any = {"stringValue": "bottom"}
    for _ in range(300):
        deep = {"arrayValue": {"values": [deep]}}
    attributes = [*GOOD, {"key": "deep", "value": deep}]
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1", "attributes": attributes}]}]}]}
    (record,) = decode(json.dumps(request).encode(), LOG).records
    (write,) = documents_for(record)
    orjson.dumps(write.body)


@pytest.fixture(scope="module")
def client(kafka: Kafka, elasticsearch: Elasticsearch) -> Any:
    provision(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), ElasticsearchSettings(url=elasticsearch.url))
    with client_of(elasticsearch.url) as connected:
        yield connected


@pytest.mark.kafka
@pytest.mark.elasticsearch
def test_elasticsearch_takes_every_document_of_junk(client: Client) -> None:
    tenant = f"junk-{uuid4().hex[:8]}"
    seen: list[Write] = []

    @settings(deadline=None, max_examples=300, database=None, derandomize=True)
    @given(RECORDS)
    def collect(record: Any) -> None:
        kind, item, _, scope, url = record
        resource = {"attributes": [{"key": semconv.TENANT, "value": {"stringValue": tenant}}]}
        seen.extend(write for write in writes_of(kind, item, resource, scope, url))

    collect()
    assert len(seen) > 100
    index(client, tenant, seen)


NASTY = [
    "a",
    "a.b",
    ".a",
    "a.",
    "a..b",
    ".",
    " ",
    "a. .b",
    "_id",
    "_source",
    "trace.id",
    "span.id",
    "error.stack_trace",
]
NASTY += [
    "\0",
    "@timestamp",
    "celery",
    "celery.task_id.x",
    "exception",
    "*",
    "a*b",
    "é" * 600,
    ".".join("x" * 60),
    "celery.maps",
    "celery.maps.a",
    "k" * 40_000,
]


@pytest.mark.kafka
@pytest.mark.elasticsearch
@pytest.mark.parametrize("event", ["", semconv.EVENT_TASK_FAILED, semconv.EVENT_WORKER_ONLINE])
def test_elasticsearch_takes_names_and_types_that_contradict_each_other(client: Client, event: str) -> None:
    tenant = f"junk-{uuid4().hex[:8]}"
    resource = {"attributes": [{"key": semconv.TENANT, "value": {"stringValue": tenant}}]}
    text: dict[str, Any] = {"stringValue": "x"}
    pairs = {"kvlistValue": {"values": [{"key": key, "value": text} for key in NASTY]}}
    values = [text, {"intValue": "7"}, {"boolValue": True}, {"doubleValue": 0.5}, pairs]
    values.append({"arrayValue": {"values": list(values)}})
    keys = [*NASTY, *sorted(str(name) for key, name in vars(semconv).items() if key.isupper() and "." in str(name))]
    keys = [key for key in keys if key not in {pair["key"] for pair in GOOD}]
    seen: list[Write] = []
    for value in values:
        for key in keys if value in values[:2] else NASTY:
            attributes = [{"key": key, "value": value}, *GOOD]
            item = {"timeUnixNano": "1795219623981227350", "eventName": event, "body": value, "attributes": attributes}
            seen += writes_of(LOG, item, resource, {"attributes": attributes}, "")
    assert len(seen) >= len(values) * len(NASTY)
    index(client, tenant, seen)


def index(client: Client, tenant: str, writes: list[Write]) -> None:
    """Index all of them, each under an id of its own; fails when Elasticsearch refuses one."""
    actions = [
        {
            "_op_type": "create" if write.op is Op.CREATE else "index",
            "_index": write.index,
            "_id": f"{tenant}/{number}",
            "_source": write.body,
        }
        for number, write in enumerate(writes)
    ]
    _, refused = bulk(client, actions, raise_on_error=False)
    reasons = {str(item)[:600] for answer in refused for item in answer.values()}
    assert not reasons, sorted(reasons)[:5]
