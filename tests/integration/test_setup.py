"""``celeryscope setup`` on a Kafka and an Elasticsearch of its own, emptied before each test."""

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from elasticsearch import Elasticsearch as Client
from kafka.admin import ConfigResource, KafkaAdminClient

from celeryscope import semconv
from celeryscope.cli import main
from celeryscope.errors import Unavailable
from celeryscope.service.rules.adjusting import activate
from celeryscope.service.rules.reading import read_rules
from celeryscope_kibana.alerting import rule_body
from celeryscope_kibana.connectors import connectors
from servers import Elasticsearch, Kafka
from servers.process import free_port
from support.commands import celeryscope, environment
from support.search import client_of
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.elasticsearch]

Setup = Callable[..., Result]
TOPICS = [semconv.TOPIC_TRACES, semconv.TOPIC_LOGS, semconv.TOPIC_DEAD_LETTER]
BEFORE = Path(__file__).parents[1] / "pipelines/provisioning/templates_of_0_1.json"
ENTITIES = [
    "celery-alerts",
    "celery-failures",
    "celery-kibana-alerts",
    "celery-queues",
    "celery-schedules",
    "celery-watcher",
    "celery-workers",
]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kafka, Elasticsearch]]:
    kafka = Kafka(tmp_path_factory.mktemp("kafka"))
    elasticsearch = Elasticsearch(tmp_path_factory.mktemp("elasticsearch"))
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(kafka.start), pool.submit(elasticsearch.start)]:
            started.result()
    with kafka, elasticsearch:
        yield kafka, elasticsearch


@pytest.fixture(scope="module")
def admin(servers: tuple[Kafka, Elasticsearch]) -> Iterator[KafkaAdminClient]:
    with KafkaAdminClient(bootstrap_servers=servers[0].bootstrap_servers) as client:
        yield client


@pytest.fixture(scope="module")
def client(servers: tuple[Kafka, Elasticsearch]) -> Iterator[Client]:
    with client_of(servers[1].url) as connected:
        yield connected


@pytest.fixture
def setup(servers: tuple[Kafka, Elasticsearch], admin: KafkaAdminClient, client: Client) -> Setup:
    """The command; nothing is set up yet."""
    if topics := [topic for topic in admin.list_topics() if topic.startswith("celeryscope")]:
        _delete(admin, topics)
    for name in _templates(client):
        client.indices.delete_index_template(name=name)
    for name in _indices(client):
        client.indices.delete(index=name)
    kafka, elasticsearch = servers
    environment = {
        "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "CELERYSCOPE_ELASTICSEARCH_URL": elasticsearch.url,
        "COLUMNS": "200",
    }

    def run(*arguments: str, **more: str) -> Result:
        return CliRunner().invoke(main, ["setup", *arguments], env={**environment, **more})

    return run


def _delete(admin: KafkaAdminClient, topics: list[str]) -> None:
    """The controller says that they are gone a moment before the broker that clients ask knows it."""
    admin.delete_topics(topics)
    until(lambda: not set(topics) & set(admin.list_topics()), what="the topics are gone")


def _becomes(asked: Callable[[], object], value: object) -> None:
    """What the controller has changed, the broker that clients ask knows a moment later."""
    until(lambda: asked() == value, what=f"{value!r}")


def _templates(client: Client) -> list[str]:
    found = client.indices.get_index_template()["index_templates"]
    return sorted(item["name"] for item in found if item["name"].startswith("celeryscope-"))


def _indices(client: Client) -> list[str]:
    return sorted(item["name"] for item in client.indices.resolve_index(name="celery-*")["indices"])


def _items(result: Result) -> dict[str, tuple[str, str]]:
    """Name to action and detail, of the JSON output."""
    assert result.exit_code == 0, result.output
    return {item["name"]: (item["action"], item["detail"]) for item in json.loads(result.stdout)["items"]}


def _config(admin: KafkaAdminClient, topic: str, key: str) -> str:
    resource = ConfigResource("topic", topic, {key: None})
    value = admin.describe_configs([resource], config_filter="all")["topic"][topic][key]["value"]
    assert isinstance(value, str)
    return value


def _partitions(admin: KafkaAdminClient, topic: str) -> int:
    return len(admin.describe_topics([topic])[0]["partitions"])


def _template(client: Client, name: str) -> Mapping[str, Any]:
    body: Mapping[str, Any] = client.indices.get_index_template(name=name)["index_templates"][0]["index_template"]
    return body["template"]


def test_the_first_run_creates_everything(setup: Setup, admin: KafkaAdminClient, client: Client) -> None:
    found = _items(setup("--json"))
    assert {action for action, _ in found.values()} == {"created"}
    assert set(TOPICS) <= set(admin.list_topics())
    assert _templates(client) == [
        "celeryscope-entities",
        "celeryscope-logs",
        "celeryscope-traces",
        "celeryscope-watcher",
    ]
    assert _indices(client) == ENTITIES


def test_a_second_run_changes_nothing(setup: Setup) -> None:
    setup()
    assert {action for action, _ in _items(setup("--json")).values()} == {"unchanged"}


def test_a_dry_run_says_the_same_and_does_nothing(setup: Setup, admin: KafkaAdminClient, client: Client) -> None:
    would = _items(setup("--dry-run", "--json"))
    assert not set(TOPICS) & set(admin.list_topics())
    assert _templates(client) == []
    assert _indices(client) == []
    assert would == _items(setup("--json"))


def test_the_table_names_each_item_and_counts(setup: Setup) -> None:
    output = setup().output
    assert "celeryscope.dead-letter" in output
    assert "celeryscope-traces" in output
    lines = [line for line in output.splitlines() if " created " in line]
    assert len(lines) > 10
    assert output.endswith(f"\n{len(lines)} created\n")


def test_what_was_deleted_comes_back(setup: Setup, admin: KafkaAdminClient, client: Client) -> None:
    setup()
    _delete(admin, [semconv.TOPIC_LOGS])
    client.indices.delete(index=semconv.INDEX_WORKERS)
    found = _items(setup("--json"))
    assert {name for name, (action, _) in found.items() if action == "created"} == {
        semconv.TOPIC_LOGS,
        semconv.INDEX_WORKERS,
    }


def test_one_broker_gets_one_copy_and_six_partitions(setup: Setup, admin: KafkaAdminClient) -> None:
    found = _items(setup("--json"))
    assert found[semconv.TOPIC_TRACES] == ("created", "6 partitions, replication 1")
    _becomes(lambda: _config(admin, semconv.TOPIC_TRACES, "min.insync.replicas"), "1")


def test_more_copies_than_brokers_are_refused_before_anything_is_created(setup: Setup, admin: KafkaAdminClient) -> None:
    result = setup("--replication", "3")
    assert result.exit_code == 2
    assert "this Kafka has 1" in result.stderr
    assert not set(TOPICS) & set(admin.list_topics())


def test_partitions_become_more_when_asked_and_never_fewer(setup: Setup, admin: KafkaAdminClient) -> None:
    setup("--partitions", "2")
    assert _items(setup("--json"))[semconv.TOPIC_LOGS] == ("unchanged", "2 partitions")
    assert _items(setup("--partitions", "4", "--json"))[semconv.TOPIC_LOGS] == ("changed", "partitions: 2 -> 4")
    _becomes(lambda: _partitions(admin, semconv.TOPIC_LOGS), 4)
    assert _items(setup("--partitions", "3", "--json"))[semconv.TOPIC_LOGS][0] == "kept"
    assert _partitions(admin, semconv.TOPIC_LOGS) == 4


def test_the_topics_retention_changes_when_asked_and_is_left_alone_otherwise(
    setup: Setup, admin: KafkaAdminClient
) -> None:
    setup()
    admin.alter_configs([ConfigResource("topic", semconv.TOPIC_TRACES, {"retention.ms": "5000000"})])
    setup()
    _becomes(lambda: _config(admin, semconv.TOPIC_TRACES, "retention.ms"), "5000000")
    setup("--topic-retention", "2d")
    _becomes(lambda: _config(admin, semconv.TOPIC_TRACES, "retention.ms"), "172800000")
    _becomes(lambda: _config(admin, semconv.TOPIC_DEAD_LETTER, "retention.ms"), str(30 * 86_400_000))
    setup("--topic-retention", "forever")
    _becomes(lambda: _config(admin, semconv.TOPIC_TRACES, "retention.ms"), "-1")


def test_a_collector_that_takes_metrics_says_how_to_get_their_topic(
    setup: Setup, servers: tuple[Kafka, Elasticsearch]
) -> None:
    kafka, elasticsearch = servers
    of_collector = {"CELERYSCOPE_COLLECTOR_METRICS": "true", "CELERYSCOPE_COLLECTOR_ALLOW_ANONYMOUS": "true"}
    takes_metrics = environment(kafka.bootstrap_servers, elasticsearch.url, **of_collector)
    setup()
    told = celeryscope(takes_metrics, "collector", "check")
    assert (told.returncode, "`celeryscope setup --metrics`" in told.stderr) == (4, True), told.stderr
    assert _items(setup("--metrics", "--json"))[semconv.TOPIC_METRICS] == ("created", "6 partitions, replication 1")
    assert "celeryscope.metrics: 6 partitions" in celeryscope(takes_metrics, "collector", "check").stdout


def test_a_dead_letter_topic_made_by_hand_gets_room_for_large_letters(setup: Setup, admin: KafkaAdminClient) -> None:
    admin.create_topics({semconv.TOPIC_DEAD_LETTER: {}}, wait_for_metadata=True)
    assert _items(setup("--json"))[semconv.TOPIC_DEAD_LETTER][0] == "changed"
    _becomes(lambda: int(_config(admin, semconv.TOPIC_DEAD_LETTER, "max.message.bytes")) > 8_000_000, True)


def test_what_was_asked_for_once_stays_so(setup: Setup, client: Client) -> None:
    setup("--retention", "30d", "--replicas", "0")
    assert {action for action, _ in _items(setup("--json")).values()} == {"unchanged"}
    logs = _template(client, "celeryscope-logs")
    assert logs["lifecycle"]["data_retention"] == "2592000s"
    assert logs["settings"]["index"]["number_of_replicas"] == "0"
    setup("--retention", "forever")
    assert "data_retention" not in _template(client, "celeryscope-logs")["lifecycle"]


def test_indices_that_are_there_follow_the_number_of_replicas(setup: Setup, client: Client) -> None:
    setup()
    setup("--replicas", "2")
    settings = client.indices.get_settings(index=semconv.INDEX_FAILURES)[semconv.INDEX_FAILURES]["settings"]["index"]
    assert (settings["number_of_replicas"], settings["auto_expand_replicas"]) == ("2", "false")


def test_an_index_made_too_early_gets_the_fields_if_it_can_and_is_named_if_not(setup: Setup, client: Client) -> None:
    fits, differs = "celery-tasks-2026.01.01", "celery-tasks-2026.01.02"
    client.indices.create(index=fits, mappings={"subobjects": False})
    client.indices.create(
        index=differs, mappings={"properties": {"celery": {"properties": {"clock": {"type": "text"}}}}}
    )
    found = _items(setup("--json"))
    assert found[fits][0] == "changed"
    assert found[differs][0] == "kept"
    mapping = client.indices.get_mapping(index=fits)[fits]["mappings"]
    assert mapping["properties"][semconv.CLOCK]["type"] == "long"


def test_what_kibana_s_rules_write_has_the_fields_of_our_alerts(setup: Setup, client: Client) -> None:
    setup()
    index, mine = semconv.INDEX_KIBANA_ALERTS, connectors()
    before = client.indices.get_mapping(index=index)[index]["mappings"]
    for number, action in enumerate(rule_body(activate(read_rules())[0], mine)["actions"]):
        for document in action["params"].get("documents", ()):
            # What Kibana puts in place of its variables.
            text = re.sub(r"\{+date\}+", "2026-11-21T10:00:00.000Z", json.dumps(document))
            client.index(index=index, id=str(number), document=json.loads(re.sub(r"\{+[\w.]+\}+", "there", text)))
    client.indices.refresh(index=index)
    assert client.count(index=index, query={"term": {semconv.ALERT_STATUS: "firing"}})["count"] == 1
    assert client.count(index=index, query={"term": {semconv.ALERT_STATUS: "resolved"}})["count"] == 1
    assert client.count(index=index, query={"range": {"@timestamp": {"gte": "2026-11-21"}}})["count"] == 2
    assert client.indices.get_mapping(index=index)[index]["mappings"] == before, "no field is guessed"
    alerts = client.indices.get_mapping(index=semconv.INDEX_ALERTS)[semconv.INDEX_ALERTS]["mappings"]
    assert before == alerts


def _templates_of_before() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(BEFORE.read_text())
    return found


def _put_templates_of_before(client: Client) -> None:
    for name, body in _templates_of_before().items():
        client.indices.put_index_template(name=name, body=body)


@pytest.fixture
def of_before(setup: Setup, client: Client) -> Setup:
    """The command, where the templates and indices of version 0.1 are in use."""
    _put_templates_of_before(client)
    for name in ENTITIES:
        client.indices.create(index=name)
    # What 0.1 had no type for got one from its first value.
    worker = {"@timestamp": "2026-11-21T10:00:00Z", semconv.WORKER: "w", semconv.SPOOL_SUPERSEDED: 7}
    client.index(index=semconv.INDEX_WORKERS, id="default/w", document=worker, refresh=True)
    return setup


def test_an_upgrade_gives_live_indices_the_new_fields_and_keeps_their_documents(
    of_before: Setup, client: Client
) -> None:
    found = _items(of_before("--json"))
    assert {name: found[name][0] for name in _templates_of_before()} == dict.fromkeys(_templates_of_before(), "changed")
    assert found[semconv.INDEX_FAILURES] == ("changed", "fields as in the template")
    assert found[semconv.INDEX_WORKERS][0] == "kept"
    assert f"but for {semconv.SPOOL_SUPERSEDED}:" in found[semconv.INDEX_WORKERS][1]
    for name in (semconv.INDEX_FAILURES, semconv.INDEX_WORKERS):
        properties = client.indices.get_mapping(index=name)[name]["mappings"]["properties"]
        assert properties[semconv.MAPS]["type"] == "flattened"
    assert client.get(index=semconv.INDEX_WORKERS, id="default/w")["_source"][semconv.SPOOL_SUPERSEDED] == 7
    assert {action for action, _ in _items(of_before("--json")).values()} == {"unchanged"}


def test_an_upgrade_continues_a_stream_whose_fields_can_not_change_in_a_new_index(
    kafka: Kafka, elasticsearch: Elasticsearch
) -> None:
    # On the shared server: this Elasticsearch can't delete a data stream, nor a template that one uses.
    stream = f"logs-celery.otel-before-{secrets.token_hex(4)}"
    with client_of(elasticsearch.url) as client:
        _put_templates_of_before(client)
        document = {"@timestamp": "2026-11-21T10:00:00Z", "attributes": {semconv.STACK_REPEATS: 1}}
        client.index(index=stream, op_type="create", document=document)
        done = celeryscope(environment(kafka.bootstrap_servers, elasticsearch.url), "setup", "--json")
        assert done.returncode == 0, done.stderr
        (item,) = [item for item in json.loads(done.stdout)["items"] if item["name"] == stream]
        assert item["detail"] == f"continued in a new index: attributes.{semconv.STACK_REPEATS} can't change"
        _both_indices_are_of_use(client, stream)


def _both_indices_are_of_use(client: Client, stream: str) -> None:
    document = {"@timestamp": "2026-11-21T10:00:01Z", "attributes": {semconv.STACK_REPEATS: 2}}
    client.index(index=stream, op_type="create", document=document, refresh=True)
    old, new = sorted(client.indices.get_mapping(index=stream).items())
    for index, kind in ((old, "double"), (new, "long")):
        attributes = index[1]["mappings"]["properties"]["attributes"]["properties"]
        assert attributes[semconv.STACK_REPEATS]["type"] == kind
        assert attributes[semconv.MAPS]["type"] == "flattened"
    assert client.count(index=stream, query={"range": {semconv.STACK_REPEATS: {"gte": 1}}})["count"] == 2


def test_an_upgrade_that_broke_off_is_done_again(of_before: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(client: Client, before: Any, body: Mapping[str, Any]) -> Iterator[Any]:
        if f"{semconv.INDEX_TASKS}-*" in body["index_patterns"]:
            raise Unavailable("between the template and its indices")
        return iter(())

    with monkeypatch.context() as broken:
        broken.setattr("celeryscope_pipelines.provisioning.indices.follow", away)
        assert of_before().exit_code == 4
    assert _items(of_before("--json"))[semconv.INDEX_FAILURES] == ("changed", "fields as in the template")


def test_an_elasticsearch_that_is_away_is_named(setup: Setup) -> None:
    result = setup(CELERYSCOPE_ELASTICSEARCH_URL=f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 4
    assert result.stderr.startswith("celeryscope: Elasticsearch is unreachable")


def test_a_kafka_that_is_away_is_named() -> None:
    # In a process of its own: kafka-python leaves its sockets open when it reaches no broker.
    result = celeryscope(environment(f"127.0.0.1:{free_port()}", "http://127.0.0.1:1"), "setup")
    assert result.returncode == 4
    assert result.stderr.startswith("celeryscope: Kafka does not answer")
    assert "Traceback" not in result.stderr


def test_waiting_says_for_what_and_goes_on_when_it_is_there(setup: Setup, servers: tuple[Kafka, Elasticsearch]) -> None:
    port = free_port()
    away = setup("--wait", "2", CELERYSCOPE_ELASTICSEARCH_URL=f"http://127.0.0.1:{port}")
    assert away.exit_code == 4
    assert away.stderr.startswith("waiting: Elasticsearch is unreachable")
    assert setup("--wait", "2").exit_code == 0


@pytest.mark.parametrize("duration", ["30", "0d", "soon", "1.5d"])
def test_a_duration_that_is_none_is_an_error_of_usage(setup: Setup, duration: str) -> None:
    result = setup("--retention", duration)
    assert result.exit_code == 2
    assert "forever" in result.stderr
