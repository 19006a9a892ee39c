"""The documents that real records become, in indices of the real templates, asked as the views and Kibana ask."""

import json
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch as Client
from elasticsearch.helpers import bulk

from celeryscope import semconv
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.decode import decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.provisioning import provision
from celeryscope_pipelines.provisioning.fields import APM, PREFIXES, RESOURCE, Types, attributes
from celeryscope_pipelines.views import queries
from celeryscope_pipelines.views.queries import FailureSelection, LogSelection
from celeryscope_pipelines.writes import Op, Write
from servers import Elasticsearch, Kafka
from support import messages
from support.search import client_of

pytestmark = [pytest.mark.kafka, pytest.mark.elasticsearch]

TASK = str(uuid4())
TRACE, SPAN = uuid4().hex, uuid4().hex[:16]


class Store:
    """Indices of one tenant, with the product's templates."""

    def __init__(self, client: Client, tenant: str) -> None:
        self.client = client
        self.tenant = tenant
        self.logs = queries.logs_index(tenant)
        self.traces = queries.traces_index(tenant)

    def write(self, kind: str, *payloads: bytes) -> None:
        """Index what the records become; raises when Elasticsearch refuses one."""
        request = messages.request("spans" if kind == "span" else "logs", self.tenant, *payloads)
        writes = [write for record in decode(request, kind).records for write in documents_for(record)]
        _, refused = bulk(self.client, [_action(write) for write in writes], refresh=True, raise_on_error=False)
        assert not refused, refused

    def line(self, **attributes: Any) -> None:
        self.write("log", messages.line("a line", **attributes))

    def count(self, index: str, query: queries.Query) -> int:
        return int(self.client.count(index=index, query=query)["count"])

    def words(self, index: str, field: str, text: str) -> int:
        return self.count(index, {"match": {field: {"query": text, "operator": "and"}}})


def _action(write: Write) -> dict[str, Any]:
    action: dict[str, Any] = {"_op_type": "create", "_index": write.index, "_id": write.id, "_source": write.body}
    if write.op is Op.VERSIONED:
        action |= {"_op_type": "index", "version": write.version, "version_type": "external"}
    return action


@pytest.fixture(scope="module")
def client(kafka: Kafka, elasticsearch: Elasticsearch) -> Any:
    provision(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), ElasticsearchSettings(url=elasticsearch.url))
    with client_of(elasticsearch.url) as connected:
        yield connected


@pytest.fixture
def store(client: Client) -> Store:
    return Store(client, f"templates-{uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def shop(client: Client) -> Store:
    """A failed task with its span and a line, and a worker."""
    store = Store(client, f"templates-{uuid4().hex[:8]}")
    # An attempt is in the index of the day on which it was sent.
    sent = messages.now_us()
    more = {"QUEUE_TIME": 0.0, "RUNTIME": 1.5, "ARGS": "(4711,)"}
    store.write("log", messages.event(semconv.EVENT_TASK_SENT, TASK, SENT_AT=sent))
    store.write("log", messages.event(semconv.EVENT_TASK_FAILED, TASK, SENT_AT=sent, **more))
    store.write("log", messages.line("charging card 4711", **{semconv.TASK_ID: TASK}))
    store.write("span", messages.span(TRACE, SPAN, **{semconv.TASK_ID: TASK, semconv.TASK_NAME: "shop.pay"}))
    return store


def test_a_task_is_the_same_question_in_every_index(shop: Store) -> None:
    entities = queries.of_tenant(shop.tenant, queries.term(semconv.TASK_ID, TASK))
    assert shop.count(queries.TASKS, entities) == 1
    assert shop.count(shop.logs, queries.term(semconv.TASK_ID, TASK)) == 2
    assert shop.count(shop.traces, queries.term(semconv.TASK_ID, TASK)) == 1


def test_the_views_find_failures_and_lines(shop: Store) -> None:
    assert shop.count(shop.logs, queries.failure_query(FailureSelection(task="shop.*"))) == 1
    assert shop.count(shop.logs, queries.log_query(LogSelection(task_id=TASK, severity=9))) == 2
    found = shop.client.search(index=shop.logs, size=0, aggs=queries.cluster_aggregations(10, "latest", {}))
    assert len(found["aggregations"]["single"]["clusters"]["buckets"]) == 1


def test_a_failure_is_found_by_words_of_its_message_and_of_its_stack(shop: Store) -> None:
    assert shop.words(shop.logs, semconv.EXCEPTION_MESSAGE, "ANSWER after") == 1
    assert shop.words(shop.logs, semconv.EXCEPTION_STACKTRACE, "gateway.charge order") == 1
    assert shop.words(shop.logs, "error.stack_trace", "gateway.charge") == 1
    assert shop.words(queries.TASKS, semconv.ARGS, "4711") >= 1
    assert shop.words("celery-failures", semconv.EXCEPTION_STACKTRACE, "gateway.charge") >= 1
    assert shop.count(shop.logs, {"query_string": {"query": "answer"}}) == 1


@pytest.mark.parametrize(
    ("stream", "field", "value"),
    [
        ("logs", "message", "charging"),
        ("logs", "log.level", "ERROR"),
        ("logs", "processor.event", "error"),
        ("logs", "error.exception.handled", False),
        ("traces", "trace.id", TRACE),
        ("traces", "span.id", SPAN),
        ("traces", "span.name", "run/shop.pay"),
        ("traces", "transaction.duration.us", 20_000),
        ("traces", "service.name", "shop"),
        ("traces", "agent.name", "celeryscope"),
    ],
)
def test_kibana_finds_its_own_names(shop: Store, stream: str, field: str, value: Any) -> None:
    assert shop.count(getattr(shop, stream), {"match": {field: value}}) == 1


def test_times_can_be_sorted_to_the_nanosecond_and_durations_summed(shop: Store) -> None:
    fields = shop.client.field_caps(index=[shop.logs, "celery-tasks-*"], fields=["celery.*", "@timestamp"])["fields"]
    assert set(fields[semconv.SENT_AT]) == {"date_nanos"}
    assert set(fields["@timestamp"]) == {"date_nanos"}
    assert set(fields[semconv.CLOCK]) == {"long"}
    assert set(fields[semconv.RUNTIME]) == set(fields[semconv.QUEUE_TIME]) == {"double"}


def test_senders_that_contradict_each_other_are_all_kept(store: Store) -> None:
    values: list[Any] = [17, "seventeen", True, 1.5, {"number": 17}, [{"number": "x"}], ["a", "b"]]
    for value in values:
        store.line(order=value)
    assert store.count(store.logs, {"match_all": {}}) == len(values)
    assert store.count(store.logs, {"range": {"order": {"gt": 1, "lt": 2}}}) == 1


ODD: list[Any] = [17, 2**62, "seventeen", "x" * 50_000, "ü" * 20_000, True, 1.5e300, -0.0, "", [], [1, "b", 2.5, True]]
ODD += [[[1], ["b"]], ["2026-01-01", 5], {"number": 17}, {"a": {"b": [1, {"c": "d"}]}, "": 1}, [{"number": "x"}, 5]]


def test_any_value_in_any_of_our_fields_costs_no_document(store: Store) -> None:
    names = {*attributes(Types()), *RESOURCE, *APM, *(f"{prefix}x" for prefix in PREFIXES), "mine", "mine.too"}
    needed = {semconv.LOG_RECORD_UID, semconv.CLOCK, semconv.WORKER}
    for value in ODD:
        odd = dict.fromkeys(names - needed, value)
        store.line(**odd)
        # The newest comes last: of a worker only the latest snapshot is kept.
        store.write(
            "log", messages.vital(semconv.EVENT_WORKER_HEARTBEAT, **odd, **{semconv.WORKER: f"odd {value}"[:40]})
        )
    assert store.count(store.logs, {"match_all": {}}) == 2 * len(ODD)
    assert store.count(semconv.INDEX_WORKERS, queries.of_tenant(store.tenant)) == len(ODD)


def test_maps_are_found_by_their_paths_and_their_keys_are_no_fields(store: Store) -> None:
    store.line(order={"id": 4711, "items": [{"sku": "a-1"}, {"sku": "b-2"}]}, mapped="yes")
    store.line(headers={f"x-{uuid4().hex}": "1" for _ in range(3000)}, order="as a text")
    for path, value in (("order.id", "4711"), ("order.items.sku", "b-2")):
        assert store.count(store.logs, queries.term(f"{semconv.MAPS}.{path}", value)) == 1
    assert store.count(store.logs, queries.term("order", "as a text")) == 1
    assert store.count(store.logs, queries.term("mapped", "yes")) == 1
    fields = store.client.field_caps(index=store.logs, fields=["*"])["fields"]
    assert len(fields) < 1000


def test_a_structured_body_is_found_by_its_paths(store: Store) -> None:
    body = {"kvlistValue": {"values": [{"key": "user", "value": {"stringValue": "ann"}}]}}
    record = json.loads(messages.line("")) | {"body": body}
    store.write("log", json.dumps(record).encode())
    assert store.count(store.logs, queries.term("body.structured.user", "ann")) == 1


def test_fields_whose_names_only_begin_with_ours_have_one_type_whoever_sends_them_first(store: Store) -> None:
    for value in (4, "four", True):
        store.line(**{f"{semconv.CONFIG_PREFIX}worker_concurrency": value})
    for value in ("4", "four", "true"):
        assert store.count(store.logs, queries.term(f"{semconv.CONFIG_PREFIX}worker_concurrency", value)) == 1
    heartbeat = {semconv.WORKER: f"w {store.tenant}", f"{semconv.SPOOL_DROPPED_PREFIX}quota": 7}
    store.write("log", messages.vital(semconv.EVENT_WORKER_HEARTBEAT, **heartbeat))
    for index in (store.logs, semconv.INDEX_WORKERS):
        name = f"{semconv.SPOOL_DROPPED_PREFIX}quota"
        assert set(store.client.field_caps(index=index, fields=[name])["fields"][name]) == {"long"}


def test_a_long_text_is_found_by_its_last_words_and_kept_whole(store: Store) -> None:
    message = "begin " + "wörd " * 40_000 + "untergang"
    store.write("log", messages.event(semconv.EVENT_TASK_FAILED, str(uuid4()), EXCEPTION_MESSAGE=message))
    store.write("log", messages.line(message))
    assert store.words(store.logs, semconv.EXCEPTION_MESSAGE, "untergang") == 1
    assert store.words(store.logs, "message", "untergang") == 1
    found = store.client.search(index=store.logs, query={"match": {"message": "untergang"}})["hits"]["hits"]
    assert found[0]["_source"]["body"]["text"] == message
    # For aggregations it is too long, and simply not among them.
    assert store.count(store.logs, {"exists": {"field": f"{semconv.EXCEPTION_MESSAGE}.keyword"}}) == 0


def test_our_own_fields_with_a_wrong_type_do_not_cost_the_document(store: Store) -> None:
    store.line(**{semconv.RETRIES: "many", semconv.RUNTIME: "long", semconv.SENT_AT: "yesterday"})
    assert store.count(store.logs, {"match_all": {}}) == 1


def test_more_fields_than_an_index_may_have_do_not_cost_the_document(store: Store) -> None:
    store.line(**{f"field_{number}": number for number in range(3000)})
    assert store.count(store.logs, {"match_all": {}}) == 1


def test_values_of_any_length_and_depth_are_kept(store: Store) -> None:
    deep: Any = "end"
    for _ in range(30):
        deep = {"deeper": deep}
    store.line(long="x" * 50_000, deep=deep)
    assert store.count(store.logs, {"match_all": {}}) == 1


def test_the_children_of_workers_are_asked_for_what_one_of_them_does_and_for_their_sum(store: Store) -> None:
    for worker, memory in (("small", [10, 20]), ("large", [10, 5_000_000_000])):
        children = {semconv.CHILD_PIDS: [7, 8], semconv.CHILD_MEMORY: memory, semconv.CHILD_CPU: [0, 0.5]}
        beat = {semconv.WORKER: worker, semconv.BROKER: "redis://cache/0", semconv.BROKER_CONNECTED: worker == "small"}
        store.write("log", messages.vital(semconv.EVENT_WORKER_HEARTBEAT, **beat, **children))
    grown = {"range": {semconv.CHILD_MEMORY: {"gt": 1_000_000_000}}}
    for index in (store.logs, semconv.INDEX_WORKERS):
        tenant = queries.of_tenant(store.tenant, grown) if index == semconv.INDEX_WORKERS else grown
        (found,) = store.client.search(index=index, query=tenant, fields=[semconv.WORKER, "host.name"])["hits"]["hits"]
        assert found["fields"][semconv.WORKER] == ["large"]
        assert store.count(index, {"bool": {"filter": [tenant, {"term": {semconv.BROKER_CONNECTED: False}}]}}) == 1
    total = store.client.search(index=store.logs, size=0, aggs={"all": {"sum": {"field": semconv.CHILD_CPU}}})
    assert total["aggregations"]["all"]["value"] == 1.0


def test_schedules_and_queues_are_found_by_when_they_are_due_and_how_deep_they_are(store: Store) -> None:
    due = {semconv.SCHEDULE: "nightly", semconv.SCHEDULE_RULE: "<crontab: 0 4 * * *>", semconv.BEAT_NEXT_AT: 1}
    store.write("log", messages.vital(semconv.EVENT_BEAT_SENT, **due, **{semconv.BEAT_LATE: 1}))
    depth = {semconv.QUEUE_DEPTH: 7, f"{semconv.QUEUE_DEPTH_OF_PRIORITY_PREFIX}3": 7}
    store.write("log", messages.vital(semconv.EVENT_QUEUE_DEPTH, **{semconv.MESSAGING_DESTINATION: "q"}, **depth))
    missed = queries.of_tenant(store.tenant, {"range": {semconv.BEAT_NEXT_AT: {"lt": "now-1m"}}})
    assert store.count(semconv.INDEX_SCHEDULES, missed) == 1
    deep = queries.of_tenant(store.tenant, {"range": {semconv.QUEUE_DEPTH: {"gte": 7}}})
    assert store.count(semconv.INDEX_QUEUES, deep) == 1


def test_a_later_snapshot_replaces_an_attempt_and_an_earlier_one_does_not(store: Store) -> None:
    task, sent = str(uuid4()), messages.now_us()
    store.write("log", messages.event(semconv.EVENT_TASK_SUCCEEDED, task, clock=20, SENT_AT=sent))
    with pytest.raises(AssertionError, match="is higher or equal to the one provided"):
        store.write("log", messages.event(semconv.EVENT_TASK_STARTED, task, clock=10, SENT_AT=sent))
    by_state = queries.of_tenant(store.tenant, queries.term(semconv.STATE, semconv.STATE_SUCCESS))
    store.client.indices.refresh(index=queries.TASKS)
    assert store.count(queries.TASKS, by_state) == 1


def test_a_name_may_be_a_value_and_the_start_of_longer_names_in_any_index(store: Store) -> None:
    task = str(uuid4())
    names = {"celery.retry": "soon", semconv.RETRY_REASON: "gateway away"}
    index = f"{semconv.INDEX_TASKS}-2001.01.01"
    store.client.index(index=index, id=task, document={"@timestamp": "2001-01-01T00:00:00Z", **names}, refresh=True)
    store.line(**names)
    assert store.words(index, semconv.RETRY_REASON, "gateway") == 1
    assert store.words(store.logs, semconv.RETRY_REASON, "gateway") == 1


def test_an_attribute_goes_before_the_resource_attribute_of_the_same_name(store: Store) -> None:
    store.line(**{semconv.SERVICE_NAME: "mine"})
    assert store.count(store.logs, queries.term(semconv.SERVICE_NAME, "mine")) == 1


def test_an_array_of_mixed_types_does_not_cost_the_document(store: Store) -> None:
    store.line(mixed=[1, "two", 3.5, True])
    assert store.count(store.logs, {"match_all": {}}) == 1
