"""``celeryscope account``, and what ``celeryscope status`` tells of the pipeline, on a Kafka of their own."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata
from prometheus_client import CollectorRegistry, Counter, start_http_server

from celeryscope import semconv
from celeryscope.cli import main
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from celeryscope_pipelines.account.expected import Expected, Place
from celeryscope_pipelines.account.lookup import Lookup
from servers import Elasticsearch, Kafka
from support import messages
from support.commands import IndexerProcess, environment
from support.search import client_of
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.elasticsearch]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka-apart")) as own:
        yield own


@pytest.fixture(scope="module")
def environ(apart: Kafka, elasticsearch: Elasticsearch) -> dict[str, str]:
    found = environment(
        apart.bootstrap_servers,
        elasticsearch.url,
        CELERYSCOPE_INDEXER_GROUP_ID=f"account-{secrets.token_hex(4)}",
        CELERYSCOPE_PIPELINE_COLLECTORS="http://127.0.0.1:1",
        CELERYSCOPE_PIPELINE_INDEXERS="http://127.0.0.1:1",
        COLUMNS="200",
    )
    done = celeryscope(found, "setup")
    assert done.exit_code == 0, done.stderr
    return found


@pytest.fixture(scope="module")
def indexer(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexerProcess]:
    with IndexerProcess(environ, tmp_path_factory.mktemp("indexer") / "indexer.log") as running:
        yield running


@pytest.fixture(scope="module")
def producer(apart: Kafka) -> Iterator[KafkaProducer]:
    with KafkaProducer(bootstrap_servers=apart.bootstrap_servers) as connected:
        yield connected


@pytest.fixture
def tenant() -> str:
    return f"t{secrets.token_hex(4)}"


def put(producer: KafkaProducer, tenant: str, *payloads: bytes) -> None:
    producer.send(semconv.TOPIC_LOGS, messages.request("logs", tenant, *payloads)).get(timeout=90)


def heartbeat(instance: str, shipped: int, **dropped: int) -> bytes:
    counts: dict[str, Any] = {semconv.SPOOL_DROPPED_PREFIX + reason: count for reason, count in dropped.items()}
    counts |= {semconv.SPOOL_SHIPPED: shipped, semconv.SPOOL_SUPERSEDED: 1, semconv.SPOOL_PENDING_BYTES: 0}
    known = {semconv.WORKER: f"w@{instance}", semconv.SERVICE_INSTANCE_ID: instance, semconv.STATE: "ONLINE"}
    return messages.vital(semconv.EVENT_WORKER_HEARTBEAT, **known, **counts)


def celeryscope(environ: dict[str, str], *arguments: str) -> Result:
    """The command, in this process: most tests ask it several times."""
    return CliRunner().invoke(main, arguments, env=environ)


def account(environ: dict[str, str], *arguments: str, code: int = 0) -> dict[str, Any]:
    done = celeryscope(environ, "account", "--json", *arguments)
    assert done.exit_code == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def now(environ: dict[str, str], *arguments: str) -> dict[str, Any]:
    """The account as it is at this moment; without content while nobody can say."""
    done = celeryscope(environ, "account", "--json", *arguments)
    nothing: dict[str, Any] = {"workers": None, "unaccounted_by_sender": {}}
    return json.loads(done.stdout) if done.exit_code in {0, 1} else nothing


def shipped(environ: dict[str, str], *arguments: str) -> int | None:
    """What the heartbeats that are indexed by now say was shipped."""
    workers = now(environ, *arguments)["workers"]
    return workers and workers["shipped"]


def test_what_heartbeats_tell_of_must_be_in_kafka(
    environ: dict[str, str], indexer: IndexerProcess, producer: KafkaProducer, tenant: str
) -> None:
    put(producer, tenant, *(messages.line(f"line {number}") for number in range(8)))
    put(producer, tenant, heartbeat("family", shipped=4), heartbeat("family", shipped=10, quota=2))
    until(lambda: shipped(environ, "--tenant", tenant) == 10, timeout=90)
    found = account(environ, "--tenant", tenant, "--wait", "90")
    assert found["workers"]["shipped"] == found["kafka"]["distinct"] == 10
    assert found["workers"]["dropped"] == {"quota": 2}
    put(producer, tenant, heartbeat("family", shipped=14))
    until(lambda: now(environ, "--tenant", tenant)["unaccounted_by_sender"] == {"shop on h1": 3}, timeout=90)
    done = celeryscope(environ, "account", "--tenant", tenant)
    assert "3 records that were shipped are not in Kafka. shop on h1: 3." in done.stderr
    assert "127.0.0.1:1 could not be asked what it dropped on purpose" in done.stderr


def test_in_a_time_window_only_what_was_shipped_in_it_counts(
    environ: dict[str, str], indexer: IndexerProcess, producer: KafkaProducer, tenant: str
) -> None:
    put(producer, tenant, messages.line("before"), heartbeat("family", shipped=1_000_000))
    until(lambda: shipped(environ, "--tenant", tenant) == 1_000_000, timeout=90)
    since = datetime.now(UTC)
    put(producer, tenant, heartbeat("family", shipped=1_000_001), messages.line("in it"))
    put(producer, tenant, heartbeat("family", shipped=1_000_003))
    window = ["--tenant", tenant, "--since", since.isoformat()]
    until(lambda: shipped(environ, *window) == 2, timeout=90)
    found = account(environ, *window, "--wait", "90")
    assert (found["workers"]["shipped"], found["kafka"]["distinct"]) == (2, 3)
    before = ["--until", since.isoformat(), "--since", (since - timedelta(minutes=5)).isoformat()]
    found = account(environ, "--tenant", tenant, *before)
    assert (found["workers"]["shipped"], found["kafka"]["distinct"]) == (0, 2)


def test_what_a_collector_dropped_on_purpose_is_no_loss(
    environ: dict[str, str], indexer: IndexerProcess, producer: KafkaProducer, tenant: str
) -> None:
    registry = CollectorRegistry()
    Counter("celeryscope_collector_records_unavailable", "", ["signal"], registry=registry).labels("log").inc(3)
    Counter("celeryscope_collector_records_dropped", "", ["signal", "processor"], registry=registry).labels(
        "log", "sampling"
    ).inc(7)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        put(producer, tenant, messages.line("kept"), heartbeat("family", shipped=9))
        collector = ["--collector", f"http://127.0.0.1:{server.server_port}"]
        found = account(environ, "--tenant", tenant, "--wait", "90", *collector)
        assert (found["collectors"]["dropped"], found["collectors"]["unavailable"]) == ({"sampling": 7}, 3)
        assert found["balanced"]
        put(producer, tenant, heartbeat("family", shipped=12))
        until(lambda: shipped(environ, "--tenant", tenant) == 12, timeout=90)
        assert account(environ, "--tenant", tenant, *collector, code=1)["unaccounted"] == 2
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_spool_is_counted_to_the_record(
    environ: dict[str, str], indexer: IndexerProcess, producer: KafkaProducer, tenant: str, tmp_path: Path
) -> None:
    recorder = Recorder(Settings(spool_dir=tmp_path, ship=False))
    for number in range(3):
        recorder.log({}, severity="INFO", body=f"line {number}")
    spool = ["--spool", str(tmp_path)]
    try:
        put(producer, tenant, messages.line("of another spool"))
        found = account(environ, "--tenant", tenant, *spool, code=1)
        assert found["workers"]["pending"] == found["workers"]["written"] == 3
        assert found["unaccounted"] == -1
    finally:
        recorder.close()
    assert celeryscope(environ, "account", *spool, "--since", "1h").exit_code == 2


def test_a_missing_record_is_named_with_its_message_and_what_to_do(
    environ: dict[str, str], indexer: IndexerProcess, producer: KafkaProducer, tenant: str, elasticsearch: Elasticsearch
) -> None:
    put(producer, tenant, messages.line("kept"), messages.line("gone", gone=1))
    assert account(environ, "--tenant", tenant, "--wait", "90")["balanced"]
    with client_of(elasticsearch.url) as client:
        index = f"logs-celery.otel-{tenant}"
        (gone,) = client.search(index=index, query={"term": {"gone": 1}})["hits"]["hits"]
        client.delete(index=gone["_index"], id=gone["_id"])
    done = celeryscope(environ, "account", "--tenant", tenant)
    assert done.exit_code == 1
    assert f"1 records of Kafka are not in Elasticsearch: {gone['_id']} (in {semconv.TOPIC_LOGS}/" in done.stderr
    assert "Is the indexer running" in done.stderr
    assert "balanced: NO" in done.stdout
    # The former name is an alias.
    assert celeryscope(environ, "audit", "--tenant", tenant).stdout == done.stdout


def test_a_dead_letter_stands_for_its_record_by_reason_and_its_replays_change_nothing(
    environ: dict[str, str], indexer: IndexerProcess, producer: KafkaProducer, tenant: str
) -> None:
    refused = messages.vital(semconv.EVENT_WORKER_HEARTBEAT)  # of a worker without a name
    put(producer, tenant, refused, messages.line("fine"))
    found = account(environ, "--tenant", tenant, "--wait", "90")
    assert found["dead_letters_by_reason"] == {"event_without_name": 1}
    assert found["found"]["logs"] == 1
    for replays in (1, 2):
        assert celeryscope(environ, "dead-letter", "replay", "--all").exit_code == 0
        again = account(environ, "--tenant", tenant, "--wait", "90")
        assert again["kafka"]["repeated"] == 2**replays - 1
        assert (again["found"], again["dead_letters"]) == (found["found"], 1)
        # The next replay takes the letters that this one has led to, once they are there.
        until(lambda: status(environ, tenant)["behind"] == 0, what="all of it is put aside again")


def test_records_that_came_again_behind_a_rollover_hide_no_others_and_are_told(
    environ: dict[str, str], elasticsearch: Elasticsearch, tenant: str
) -> None:
    stream = f"{semconv.DATA_STREAM_TRACES}-{tenant}"
    with client_of(elasticsearch.url) as client:
        for numbers in (range(5), range(6)):
            operations: list[dict[str, Any]] = []
            for number in numbers:
                operations += [{"create": {"_id": str(number)}}, {"@timestamp": "2026-01-01T00:00:00Z"}]
            assert not client.bulk(index=stream, operations=operations, refresh=True)["errors"]
            client.indices.rollover(alias=stream)
        expected = {str(number): Expected((Place(stream, str(number), 0),), "spans") for number in range(6)}
        found = Lookup(client).found(expected)
    assert (found.there, found.doubled) == (expected.keys(), expected.keys() - {"5"})


def status(environ: dict[str, str], tenant: str, **more: str) -> dict[str, Any]:
    done = celeryscope(environ | more, "status", "--json", "--tenant", tenant)
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["pipeline"]
    return found


def test_status_tells_what_is_not_indexed_yet_how_old_it_is_and_what_was_put_aside(
    environ: dict[str, str], indexer: IndexerProcess, producer: KafkaProducer, tenant: str
) -> None:
    put(producer, tenant, messages.line("fine"), messages.vital(semconv.EVENT_WORKER_HEARTBEAT))
    account(environ, "--tenant", tenant, "--wait", "90")
    asked = {"CELERYSCOPE_PIPELINE_INDEXERS": f"http://127.0.0.1:{indexer.port}"}
    until(lambda: status(environ, tenant)["behind"] == 0, what="all of it is committed", timeout=90)
    found = status(environ, tenant, **asked)
    assert (found["oldest_unread_seconds"], found["expired_unread"]) == (None, 0)
    assert len(found["partitions"]) == 12
    assert found["messages_per_second"] > 0
    assert found["indexed_per_second"] > 0
    assert found["dead_letters"]["event_without_name"] >= 1
    (told,) = found["indexers"]
    assert told["written"] > 0
    assert told["dead_letters"]["event_without_name"] >= 1
    assert found["not_asked"] == ["the collector http://127.0.0.1:1/metrics tells nothing (NewConnectionError)."]
    assert indexer.metric("celeryscope_indexer_read_time_seconds") > time.time() - 600
    # Of a group that has read nothing all that is there is unread.
    unread = status(environ, tenant, CELERYSCOPE_INDEXER_GROUP_ID="nobody")
    assert unread["behind"] > 0
    assert unread["oldest_unread_seconds"] > 0


def test_messages_that_kafka_forgot_before_they_were_indexed_are_counted(
    environ: dict[str, str], indexer: IndexerProcess, producer: KafkaProducer, apart: Kafka, tenant: str
) -> None:
    put(producer, tenant, messages.line("fine"))
    account(environ, "--tenant", tenant, "--wait", "90")
    request = messages.request("logs", tenant, messages.line("forgotten"))
    place = TopicPartition(semconv.TOPIC_LOGS, 0)
    offset = producer.send(place.topic, request, partition=place.partition).get(timeout=60).offset
    group = f"asleep-{secrets.token_hex(4)}"
    with closing(KafkaConsumer(bootstrap_servers=apart.bootstrap_servers, group_id=group)) as asleep:
        asleep.assign([place])
        asleep.commit({place: OffsetAndMetadata(offset)})
    producer.send(place.topic, request, partition=place.partition).get(timeout=90)
    with closing(KafkaAdminClient(bootstrap_servers=apart.bootstrap_servers)) as admin:
        admin.delete_records({place: offset + 1})
    found = status(environ, tenant, CELERYSCOPE_INDEXER_GROUP_ID=group)
    assert found["expired_unread"] == 1
    assert found["partitions"][6]["expired_unread"] == found["partitions"][6]["behind"] == 1
