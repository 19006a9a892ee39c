"""The real indexer between a real Kafka and a real Elasticsearch."""

import itertools
import secrets
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from elasticsearch import Elasticsearch as Client
from google.protobuf import json_format
from kafka import KafkaProducer
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from celeryscope import semconv
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.lag import lag_of
from servers import Elasticsearch, Kafka
from support import messages
from support.commands import CELERYSCOPE, IndexerProcess, audit, celeryscope, environment
from support.search import client_of
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.elasticsearch]


@pytest.fixture(scope="module")
def environ(kafka: Kafka, elasticsearch: Elasticsearch) -> dict[str, str]:
    found = environment(
        kafka.bootstrap_servers,
        elasticsearch.url,
        CELERYSCOPE_INDEXER_GROUP_ID=f"test-{secrets.token_hex(4)}",
        CELERYSCOPE_INDEXER_FAILURE_INTERVAL="0.2",
        # Tests of dead letters leave hundreds of messages in the shared Kafka that nobody can decode.
        CELERYSCOPE_INDEXER_DEAD_LETTER_LIMIT="100000",
    )
    done = celeryscope(found, "setup")
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture(scope="module")
def apart(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An environment with a Kafka that no other indexer of these tests reads, so that none does another's work."""
    with Kafka(tmp_path_factory.mktemp("kafka-apart")) as own:
        found = environ | {
            "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": own.bootstrap_servers,
            "CELERYSCOPE_INDEXER_SESSION_TIMEOUT": "6",
        }
        assert celeryscope(found, "setup").returncode == 0
        yield found


@pytest.fixture(scope="module")
def indexer(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexerProcess]:
    with IndexerProcess(environ, tmp_path_factory.mktemp("indexer") / "indexer.log") as running:
        yield running


@pytest.fixture(scope="module")
def client(elasticsearch: Elasticsearch) -> Iterator[Client]:
    with client_of(elasticsearch.url) as connected:
        yield connected


@pytest.fixture(scope="module")
def producer(kafka: Kafka) -> Iterator[KafkaProducer]:
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as connected:
        yield connected


@pytest.fixture
def tenant() -> str:
    return f"t{secrets.token_hex(4)}"


def _put(producer: KafkaProducer, topic: str, *values: bytes) -> None:
    for value in values:
        producer.send(topic, value).get(timeout=60)


def _all_done(environ: dict[str, str]) -> bool:
    """Whether the indexers have committed all that is in Kafka: its documents are written, in whatever order."""
    kafka = KafkaSettings(bootstrap_servers=environ["CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS"])
    lag = lag_of(kafka, environ["CELERYSCOPE_INDEXER_GROUP_ID"], datetime.now(UTC))
    return not any(partition.behind for partition in lag)


def _task(client: Client, tenant: str, task_id: str) -> dict[str, Any] | None:
    client.indices.refresh(index="celery-tasks-*")
    hits = client.search(index="celery-tasks-*", query={"ids": {"values": [f"{tenant}/{task_id}:0"]}})["hits"]["hits"]
    return hits[0]["_source"] if hits else None


def _field(document: dict[str, Any], name: str) -> Any:
    """A field by its dotted name, whether it's nested or not."""
    if name in document:
        return document[name]
    first, _, rest = name.partition(".")
    while rest:
        if isinstance(document.get(first), dict):
            found = _field(document[first], rest)
            if found is not None:
                return found
        more, _, rest = rest.partition(".")
        first = f"{first}.{more}"
    return None


def _logs(client: Client, tenant: str, **terms: Any) -> list[dict[str, Any]]:
    index = f"logs-celery.otel-{tenant}"
    if not client.indices.exists(index=index):
        return []
    client.indices.refresh(index=index)
    filters = [{"term": {name.replace("__", "."): value}} for name, value in terms.items()]
    found = client.search(index=index, query={"bool": {"filter": filters}}, size=100)["hits"]["hits"]
    return [hit["_source"] for hit in found]


def test_the_last_snapshot_of_an_attempt_wins_in_whatever_order_it_comes(
    environ: dict[str, str], indexer: IndexerProcess, client: Client, producer: KafkaProducer, tenant: str
) -> None:
    task_id, start = str(uuid.uuid4()), messages.now_us()
    names = (semconv.EVENT_TASK_SENT, semconv.EVENT_TASK_STARTED, semconv.EVENT_TASK_SUCCEEDED)
    events = [messages.event(name, task_id, start + number, SENT_AT=start) for number, name in enumerate(names)]
    for event in (events[2], events[0], events[1]):
        _put(producer, semconv.TOPIC_LOGS, messages.request("logs", tenant, event))
    until(lambda: _all_done(environ), what="all of it")
    document = _task(client, tenant, task_id)
    assert document is not None
    assert _field(document, semconv.STATE) == "SUCCESS"
    assert _field(document, semconv.TENANT) == tenant


def test_json_and_protobuf_become_the_same_document(
    indexer: IndexerProcess, client: Client, producer: KafkaProducer, tenant: str
) -> None:
    as_json = messages.request("logs", tenant, messages.line("from JSON", n=7))
    as_protobuf = messages.request("logs", tenant, messages.line("from protobuf", n=7))
    packed = json_format.Parse(as_protobuf, ExportLogsServiceRequest()).SerializeToString()
    _put(producer, semconv.TOPIC_LOGS, as_json, packed)
    until(lambda: len(_logs(client, tenant, n=7)) == 2, what="both lines")
    one, other = _logs(client, tenant, n=7)
    for document in (one, other):
        document.pop("@timestamp")
        document["attributes"].pop("log.record.uid", None)
        document["body"].pop("text")
    assert one == other


def test_a_failure_is_searchable_by_its_words_and_has_a_cluster(
    indexer: IndexerProcess, client: Client, producer: KafkaProducer, tenant: str
) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for task_id in ids:
        _put(
            producer,
            semconv.TOPIC_LOGS,
            messages.request("logs", tenant, messages.event(semconv.EVENT_TASK_FAILED, task_id)),
        )
    until(lambda: len(_logs(client, tenant, event_name="exception")) == 3, what="three failures")
    query = {"match_phrase": {"attributes.exception.stacktrace": "in charge"}}
    assert client.count(index=f"logs-celery.otel-{tenant}", query=query)["count"] == 3
    (fingerprint,) = {
        _field(doc["attributes"], semconv.FINGERPRINT) for doc in _logs(client, tenant, event_name="exception")
    }
    assert {doc["attributes"]["error.grouping_key"] for doc in _logs(client, tenant, event_name="exception")} == {
        fingerprint
    }
    until(lambda: client.exists(index="celery-failures", id=f"{tenant}/{fingerprint}"), what="the cluster")
    cluster = client.get(index="celery-failures", id=f"{tenant}/{fingerprint}")["_source"]
    assert _field(cluster, semconv.CULPRIT) == "shop.gateway in charge"
    assert _field(cluster, semconv.FIRST_SEEN) <= _field(cluster, semconv.LAST_SEEN)


def test_the_same_messages_once_more_change_nothing(
    environ: dict[str, str], indexer: IndexerProcess, client: Client, producer: KafkaProducer, tenant: str
) -> None:
    trace = secrets.token_hex(16)
    logs = messages.request("logs", tenant, messages.line("once"), messages.event(semconv.EVENT_TASK_FAILED, "t1"))
    spans = messages.request("spans", tenant, messages.span(trace, secrets.token_hex(8), **{semconv.TASK_ID: "t1"}))
    for _ in range(2):
        _put(producer, semconv.TOPIC_LOGS, logs)
        _put(producer, semconv.TOPIC_TRACES, spans)
    account = audit(environ, "--tenant", tenant, "--wait", "90")
    assert account["kafka"] == {"records": 6, "distinct": 3, "repeated": 3}
    assert account["found"] == {"spans": 1, "logs": 2, "snapshots": 0}
    assert account["balanced"]
    assert len(_logs(client, tenant)) == 2


def test_what_can_not_be_indexed_becomes_a_dead_letter_and_does_not_stop_the_rest(
    environ: dict[str, str], indexer: IndexerProcess, client: Client, producer: KafkaProducer, tenant: str
) -> None:
    no_clock = messages.event(semconv.EVENT_TASK_STARTED, "t2", CLOCK=None)
    _put(producer, semconv.TOPIC_LOGS, b"\xff\xfenot OTLP")
    _put(producer, semconv.TOPIC_LOGS, messages.request("logs", tenant, no_clock, messages.line("neighbour")))
    _put(producer, semconv.TOPIC_LOGS, messages.request("logs", tenant, b"null", messages.line("beside null")))
    account = audit(environ, "--tenant", tenant, "--wait", "90")
    assert account["balanced"], account
    assert (account["dead_letters"], account["found"]["logs"]) == (1, 2)
    until(lambda: _all_done(environ), what="all of it")
    listed = celeryscope(environ, "dead-letter", "list", "--json", "--limit", "10000")
    for problem in ("logRecords holds objects", "neither OTLP/JSON nor OTLP protobuf", "event_without_clock"):
        assert problem in listed.stdout


def test_what_an_opentelemetry_collector_wrote_is_indexed_once_under_its_place_in_kafka(
    environ: dict[str, str], indexer: IndexerProcess, client: Client, producer: KafkaProducer, tenant: str
) -> None:
    # Its kafkaexporter writes no headers, and no uid, which would be ours.
    anonymous = messages.line("without a uid", **{semconv.LOG_RECORD_UID: None, "event.name": "app.started"})
    value = messages.request("logs", tenant, anonymous, anonymous)
    packed = json_format.Parse(value, ExportLogsServiceRequest()).SerializeToString()
    places = []
    for encoded in (value, packed):
        sent = producer.send(semconv.TOPIC_LOGS, encoded, key=b"some key").get(timeout=60)
        places += [f"{sent.topic}/{sent.partition}/{sent.offset}/{number}" for number in (0, 1)]
    account = audit(environ, "--tenant", tenant, "--wait", "90")
    assert account["balanced"], account
    assert account["found"]["logs"] == 4
    found = client.search(index=f"logs-celery.otel-{tenant}")["hits"]["hits"]
    assert sorted(hit["_id"] for hit in found) == sorted(places)
    assert {hit["_source"]["event_name"] for hit in found} == {"app.started"}


def test_the_audit_names_what_is_missing(
    environ: dict[str, str], indexer: IndexerProcess, client: Client, producer: KafkaProducer, tenant: str
) -> None:
    _put(
        producer,
        semconv.TOPIC_LOGS,
        messages.request("logs", tenant, messages.line("kept"), messages.line("gone", gone=1)),
    )
    assert audit(environ, "--tenant", tenant, "--wait", "90")["balanced"]
    (gone,) = client.search(index=f"logs-celery.otel-{tenant}", query={"term": {"gone": 1}})["hits"]["hits"]
    client.delete(index=gone["_index"], id=gone["_id"])
    account = audit(environ, "--tenant", tenant)
    assert not account["balanced"]
    assert account["missing"] == {"count": 1, "first": [gone["_id"]]}
    done = celeryscope(environ, "audit", "--tenant", tenant)
    assert done.returncode == 1
    assert gone["_id"] in done.stderr


def test_two_indexers_share_the_work_and_do_nothing_twice_when_one_comes_and_leaves(
    apart: dict[str, str], tenant: str, tmp_path: Path
) -> None:
    # Nobody is killed here: a pause of some seconds is no reason to take an indexer for dead.
    patient = {"CELERYSCOPE_INDEXER_SESSION_TIMEOUT": "45"}
    environ = apart | patient | {"CELERYSCOPE_INDEXER_GROUP_ID": f"two-{secrets.token_hex(4)}"}
    is_over = Event()

    def produce() -> None:
        with KafkaProducer(bootstrap_servers=apart["CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS"]) as producer:
            while not is_over.wait(0.002):
                producer.send(semconv.TOPIC_LOGS, messages.request("logs", tenant, messages.line("x")))

    def unchanged(indexer: IndexerProcess) -> float:
        lines = indexer.get("/metrics")[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if 'documents_total{result="unchanged"}' in line)

    def did_nothing_twice(indexer: IndexerProcess, before: IndexerProcess) -> bool:
        # On a machine that stands still for seconds batches may take longer than a hand-over waits for them.
        log = before.log.read_text()
        return unchanged(indexer) == 0 or "are not done yet" in log or "could not be committed" in log

    load = Thread(target=produce)
    with IndexerProcess(environ, tmp_path / "first.log") as first:
        load.start()
        try:
            with IndexerProcess(environ, tmp_path / "second.log") as second:
                until(lambda: second.metric("celeryscope_indexer_messages_total") > 100, what="work for the second")
                assert did_nothing_twice(second, first)
                assert second.stop() == 0
        finally:
            is_over.set()
            load.join()
        account = audit(environ, "--tenant", tenant, "--wait", "90")
        assert account["balanced"], account
        assert did_nothing_twice(first, second)


def test_killed_in_mid_load_it_goes_on_where_it_had_committed(
    apart: dict[str, str], tenant: str, tmp_path: Path
) -> None:
    environ = apart | {
        "CELERYSCOPE_INDEXER_GROUP_ID": f"killed-{secrets.token_hex(4)}",
        "CELERYSCOPE_INDEXER_BATCH_MESSAGES": "5",
    }
    numbers, is_over = itertools.count(), Event()

    def produce() -> None:
        with KafkaProducer(bootstrap_servers=apart["CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS"]) as producer:
            # However fast the indexer is, there is work for it each time it is killed.
            while not is_over.wait(0.01):
                number = next(numbers)
                name = semconv.EVENT_TASK_FAILED if number % 10 == 0 else semconv.EVENT_TASK_SUCCEEDED
                event = messages.event(name, str(uuid.uuid4()))
                line = messages.line(f"line {number}")
                producer.send(semconv.TOPIC_LOGS, messages.request("logs", tenant, event, line))

    load = Thread(target=produce)
    load.start()
    try:
        with IndexerProcess(environ, tmp_path / "indexer.log") as victim:
            for _ in range(3):
                before = victim.metric("celeryscope_indexer_messages_total")
                until(lambda before=before: victim.metric("celeryscope_indexer_messages_total") > before, what="work")
                victim.kill()
                victim.start()
            is_over.set()
            load.join()
            account = audit(environ, "--tenant", tenant, "--wait", "90")
    finally:
        is_over.set()
        load.join()
    assert account["balanced"], account
    assert account["kafka"]["distinct"] == 2 * next(numbers)


class SmallElasticsearch(Elasticsearch):
    """Takes requests of at most 500 KB."""

    def prepare(self) -> None:
        super().prepare()
        with (self._home / "config" / "elasticsearch.yml").open("a") as file:
            file.write("http.max_content_length: 500kb\n")


@pytest.fixture(scope="module")
def small_elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallElasticsearch]:
    with SmallElasticsearch(tmp_path_factory.mktemp("small")) as server:
        yield server


@pytest.fixture
def with_small(apart: dict[str, str], small_elasticsearch: SmallElasticsearch) -> dict[str, str]:
    found = apart | {
        "CELERYSCOPE_ELASTICSEARCH_URL": small_elasticsearch.url,
        "CELERYSCOPE_INDEXER_GROUP_ID": f"small-{secrets.token_hex(4)}",
    }
    assert celeryscope(found, "setup").returncode == 0
    return found


def test_a_request_larger_than_elasticsearch_takes_is_split_and_a_document_larger_than_that_is_a_dead_letter(
    with_small: dict[str, str], tenant: str, tmp_path: Path
) -> None:
    with KafkaProducer(bootstrap_servers=with_small["CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        for number in range(30):
            line = messages.line("x" * 100_000, number=number)
            producer.send(semconv.TOPIC_LOGS, messages.request("logs", tenant, line), partition=0)
        huge = messages.request("logs", tenant, messages.line("x" * 700_000), messages.line("beside the huge one"))
        producer.send(semconv.TOPIC_LOGS, huge, partition=0)
    with IndexerProcess(with_small, tmp_path / "indexer.log"):
        account = audit(with_small, "--tenant", tenant, "--wait", "90")
    assert account["balanced"], account
    assert (account["found"]["logs"], account["dead_letters"]) == (31, 1)


def test_while_elasticsearch_is_away_for_many_poll_intervals_it_keeps_its_partitions_and_little_in_memory(
    with_small: dict[str, str], small_elasticsearch: SmallElasticsearch, tenant: str, tmp_path: Path
) -> None:
    # Shorter, a machine that stands still for some seconds would be enough to be put out of the group.
    interval, in_flight = 4, 1024 * 1024
    environ = with_small | {
        "CELERYSCOPE_INDEXER_SESSION_TIMEOUT": "45",
        "CELERYSCOPE_INDEXER_RETRY_MAX_DELAY": "1",
        "CELERYSCOPE_INDEXER_MAX_POLL_INTERVAL": str(interval),
        "CELERYSCOPE_INDEXER_IN_FLIGHT_BYTES": str(in_flight),
    }
    log = tmp_path / "indexer.log"
    with (
        IndexerProcess(environ, log) as indexer,
        KafkaProducer(bootstrap_servers=environ["CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS"]) as producer,
    ):

        def produce(number: int) -> None:
            line = messages.line("x" * 20_000, number=number)
            producer.send(semconv.TOPIC_LOGS, messages.request("logs", tenant, line))

        # How many messages it asks for goes by the size of those before; other tests have left larger and smaller ones.
        until(lambda: _all_done(environ), what="what was there before")
        produce(0)
        producer.flush()
        until(lambda: _all_done(environ), what="the first one")
        small_elasticsearch.kill()
        begin = time.monotonic()
        for number in range(1, 400):
            produce(number)
        until(lambda: indexer.metric("celeryscope_indexer_in_flight_bytes") >= in_flight, what="it reads no more")
        until(lambda: time.monotonic() - begin > 3 * interval, what="three poll intervals")
        assert indexer.metric("celeryscope_indexer_in_flight_bytes") < 2 * in_flight
        assert indexer.get("/healthz")[0] == 200
        until(lambda: "unreachable" in indexer.get("/readyz")[1], what="it says what it waits for")
        small_elasticsearch.start()
        account = audit(environ, "--tenant", tenant, "--wait", "90")
        assert account["balanced"], account
        assert account["dead_letters"] == 0
    assert log.read_text().count("more partitions") == 1


def test_too_many_dead_letters_stop_it_loudly_before_it_commits_them_or_what_is_behind(
    apart: dict[str, str], tenant: str, tmp_path: Path
) -> None:
    environ = apart | {
        "CELERYSCOPE_INDEXER_GROUP_ID": f"poison-{secrets.token_hex(4)}",
        "CELERYSCOPE_INDEXER_DEAD_LETTER_LIMIT": "30",
        "CELERYSCOPE_INDEXER_BATCH_MESSAGES": "20",
    }
    with KafkaProducer(bootstrap_servers=apart["CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        for number in range(200):
            is_poison = 40 <= number < 80
            record = messages.event(semconv.EVENT_TASK_STARTED, "t", CLOCK=None) if is_poison else messages.line("fine")
            producer.send(semconv.TOPIC_LOGS, messages.request("logs", tenant, record), partition=0)
    log = tmp_path / "indexer.log"
    with log.open("wb") as output:
        command = [CELERYSCOPE, "indexer", "run", "--http-port", "0"]
        done = subprocess.run(command, env=environ, stderr=output, timeout=150, check=False)
    assert done.returncode == 1
    assert "More than 30 dead letters" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not audit(environ, "--tenant", tenant)["balanced"]
    with IndexerProcess(environ | {"CELERYSCOPE_INDEXER_DEAD_LETTER_LIMIT": "1000"}, tmp_path / "second.log"):
        account = audit(environ, "--tenant", tenant, "--wait", "90")
    assert account["balanced"], account
    assert (account["dead_letters"], account["found"]["logs"]) == (40, 160)


def test_an_audit_of_nothing_proves_nothing(environ: dict[str, str]) -> None:
    done = celeryscope(environ, "audit", "--tenant", "misspelt")
    assert done.returncode == 3
    assert "Is --tenant right" in done.stderr


@pytest.mark.parametrize(
    ("setting", "exit_code"),
    [
        ({"CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, 4),
        ({"CELERYSCOPE_ELASTICSEARCH_URL": "http://127.0.0.1:1"}, 4),
        ({"CELERYSCOPE_INDEXER_WORKERZ": "2"}, 2),
    ],
)
def test_it_says_why_it_can_not_start(environ: dict[str, str], setting: dict[str, str], exit_code: int) -> None:
    done = celeryscope(environ | setting, "indexer", "run", "--http-port", "0", timeout=90)
    assert done.returncode == exit_code, done.stderr
    assert done.stderr.splitlines()[-1].startswith("celeryscope: ")
    assert "Traceback" not in done.stderr
