"""``celeryscope retention`` on the shared Elasticsearch: all that it deletes here is older than the year 2000."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from elasticsearch import Elasticsearch as Client

from celeryscope import semconv
from celeryscope.cli import main
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.provisioning import provision
from celeryscope_pipelines.retention import Keep, enforce
from servers import Elasticsearch, Kafka
from support.search import client_of

pytestmark = [pytest.mark.kafka, pytest.mark.elasticsearch]

Command = Callable[..., Result]
# From some moment between noon and one o'clock of the first of January 2000 on: the same day all through the tests,
# whenever they run.
SINCE_2000 = f"{(datetime.now(UTC) - datetime(2000, 1, 1, 12, tzinfo=UTC)) // timedelta(hours=1)}h"
OLD, RECENT = "1999-12-30T10:00:00Z", "2000-02-01T10:00:00Z"
ENTITIES = (
    "celery-failures",
    "celery-workers",
    "celery-queues",
    "celery-schedules",
    "celery-alerts",
    "celery-kibana-alerts",
)


@pytest.fixture(scope="module")
def client(kafka: Kafka, elasticsearch: Elasticsearch) -> Iterator[Client]:
    provision(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), ElasticsearchSettings(url=elasticsearch.url))
    with client_of(elasticsearch.url) as connected:
        yield connected


@pytest.fixture
def retention(kafka: Kafka, elasticsearch: Elasticsearch) -> Command:
    environment = {
        "CELERYSCOPE_ELASTICSEARCH_URL": elasticsearch.url,
        "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "COLUMNS": "200",
    }

    def run(*arguments: str, command: str = "retention", **more: str) -> Result:
        return CliRunner().invoke(main, [command, *arguments], env={**environment, **more})

    return run


def put(client: Client, index: str, name: str, seen: str) -> None:
    document = {"@timestamp": seen, semconv.LAST_SEEN: seen}
    client.index(index=index, id=name, document=document, refresh=True)


def items(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return {item["name"]: item for item in json.loads(result.stdout)["items"]}


def test_days_of_attempts_that_are_too_old_go_and_nothing_else_does(client: Client, retention: Command) -> None:
    old = ["celery-tasks-1999.12.30", "celery-tasks-1999.12.31"]
    # On the day of the limit there are younger attempts, too.
    others = [
        "celery-tasks-2000.01.01",
        "celery-tasks-2000.01.02",
        "celery-tasks-1999.12.30-mine",
        "celery-tasks-1999.13.40",
        "celery-tasks-x",
    ]
    for index in (*old, *others):
        put(client, index, "a", OLD)
    would = items(retention("--tasks", SINCE_2000, "--dry-run", "--json"))
    assert {name: item["action"] for name, item in would.items()} == dict.fromkeys(old, "deleted")
    assert would[old[0]]["documents"] == 1
    assert would[old[0]]["bytes"] > 0
    assert all(client.indices.exists(index=index) for index in old)
    deleted = items(retention("--json", CELERYSCOPE_RETENTION_TASKS=SINCE_2000))
    # But for the bytes: an index may change on disk meanwhile.
    assert {name: item | {"bytes": would[name]["bytes"]} for name, item in deleted.items()} == would
    assert not any(client.indices.exists(index=index) for index in old)
    assert all(client.indices.exists(index=index) for index in others)
    assert items(retention("--tasks", SINCE_2000, "--json")) == {}
    for index in others:
        client.indices.delete(index=index)


def test_what_was_not_seen_for_long_goes_document_by_document(client: Client, retention: Command) -> None:
    tenant = uuid4().hex
    for index in ENTITIES:
        put(client, index, f"{tenant}/old", OLD)
        put(client, index, f"{tenant}/recent", RECENT)
    times = [option for name in ("--entities", "--failures", "--alerts") for option in (name, SINCE_2000)]
    would = items(retention(*times, "--dry-run", "--json"))
    assert {name: item["documents"] for name, item in would.items()} == dict.fromkeys(ENTITIES, 1)
    assert retention(*times).stdout.endswith("6 documents, 0 B of indices deleted\n")
    for index in ENTITIES:
        assert not client.exists(index=index, id=f"{tenant}/old")
        assert client.exists(index=index, id=f"{tenant}/recent")


def test_more_documents_than_one_request_has_room_for_all_go(client: Client, retention: Command) -> None:
    tenant = uuid4().hex
    operations: list[dict[str, Any]] = []
    for number in range(2500):
        operations += [{"index": {"_id": f"{tenant}/{number}"}}, {"@timestamp": OLD}]
    client.bulk(index=semconv.INDEX_QUEUES, operations=operations, refresh=True)
    assert items(retention("--entities", SINCE_2000, "--json"))[semconv.INDEX_QUEUES]["documents"] == 2500


def test_what_is_seen_again_at_that_very_moment_stays(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    name, write = f"{uuid4().hex}/cluster", client.bulk
    put(client, semconv.INDEX_FAILURES, name, OLD)

    def meanwhile(**request: Any) -> Any:
        put(client, semconv.INDEX_FAILURES, name, RECENT)
        return write(**request)

    monkeypatch.setattr(client, "bulk", meanwhile)
    year = 366 * 86_400
    (item,) = enforce(client, Keep(failures=year), datetime(2000, 12, 31, 12, tzinfo=UTC), dry_run=False)
    assert (item.action, item.documents) == ("unchanged", 0)
    assert client.exists(index=semconv.INDEX_FAILURES, id=name)


def test_documents_that_must_not_be_deleted_are_no_success(client: Client, retention: Command) -> None:
    name = f"{uuid4().hex}/queue"
    put(client, semconv.INDEX_QUEUES, name, OLD)
    client.indices.put_settings(index=semconv.INDEX_QUEUES, settings={"index.blocks.write": True})
    try:
        result = retention("--entities", SINCE_2000)
    finally:
        client.indices.put_settings(index=semconv.INDEX_QUEUES, settings={"index.blocks.write": None})
    assert result.exit_code == 4
    assert "deletes no documents of celery-queues (403: " in result.stderr
    assert items(retention("--entities", SINCE_2000, "--json"))[semconv.INDEX_QUEUES]["documents"] == 1


def test_streams_get_their_lifecycle_each_its_own_and_setup_leaves_it_so(client: Client, retention: Command) -> None:
    def kept(name: str) -> str | None:
        found = client.indices.get_index_template(name=name)["index_templates"][0]["index_template"]
        retention: str | None = found["template"]["lifecycle"].get("data_retention")
        return retention

    names = ("celeryscope-traces", "celeryscope-logs")
    would = items(retention("--spans", "14d", "--logs", "30d", "--dry-run", "--json"))
    assert {would[name]["action"] for name in names} == {"changed"}
    assert [kept(name) for name in names] == [None, None]
    try:
        retention("--spans", "14d", "--logs", "30d")
        assert [kept(name) for name in names] == ["1209600s", "2592000s"]
        assert items(retention("--spans", "14d", "--json"))["celeryscope-traces"]["action"] == "unchanged"
        assert {items(retention("--json", command="setup"))[name]["action"] for name in names} == {"unchanged"}
    finally:
        retention("--spans", "forever", "--logs", "forever")
    assert [kept(name) for name in names] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "setting", "said"),
    [
        ([], {}, "CELERYSCOPE_RETENTION_TASKS=90d"),
        (["--tasks", "soon"], {}, "CELERYSCOPE_RETENTION_TASKS: 'soon' is no duration"),
        (["--tasks", "9999999999w"], {}, "'9999999999w' is more than a hundred years; use forever"),
        ([], {"CELERYSCOPE_RETENTION_LOGS": "30"}, "CELERYSCOPE_RETENTION_LOGS: '30' is no duration"),
        ([], {"CELERYSCOPE_RETENTION_EVERYTHING": "30d"}, "CELERYSCOPE_RETENTION_EVERYTHING: no such setting"),
    ],
)
def test_without_a_proper_time_nothing_is_deleted(
    retention: Command, arguments: list[str], setting: dict[str, str], said: str
) -> None:
    result = retention(*arguments, **setting)
    assert result.exit_code == 2
    assert said in result.stderr
