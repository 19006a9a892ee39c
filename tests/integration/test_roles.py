"""What deploy/compose/secrets.sh makes, on a real Elasticsearch with security and TLS.

Each role of deploy/elasticsearch/roles can do its work, and no more.
"""

import json
import re
import secrets
import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from elasticsearch import ApiError, AuthorizationException
from elasticsearch import Elasticsearch as Client
from kafka import KafkaProducer

from celeryscope import semconv
from celeryscope_collector.tenant_limits import TenantLimits
from celeryscope_collector.tokens import hash_of, read_senders
from celeryscope_pipelines import measurements
from servers import Elasticsearch, Kafka
from support import messages
from support.commands import IndexerProcess, celeryscope, environment
from support.search import client_of
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.elasticsearch]

DEPLOY = Path(__file__).parents[2] / "deploy"
ROLES = [path.stem for path in (DEPLOY / "elasticsearch" / "roles").glob("*.json")]
TENANT = f"t{secrets.token_hex(4)}"


class Secured(Elasticsearch):
    """An Elasticsearch with the users of a folder of secrets."""

    def __init__(self, folder: Path, secrets_folder: Path) -> None:
        super().__init__(folder, secured_by=secrets_folder)
        self.ca_file = secrets_folder / "ca.crt"
        self.kibana = (secrets_folder / "kibana.yml").read_text()
        self._secrets = secrets_folder

    def password_of(self, role: str) -> str:
        return (self._secrets / f"{role}.password").read_text().strip()

    def client(self, role: str) -> Client:
        return client_of(self.url, basic_auth=(role, self.password_of(role)), ca_certs=str(self.ca_file))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([DEPLOY / "compose" / "secrets.sh", folder], check=True, capture_output=True)
    with Secured(tmp_path_factory.mktemp("secured"), folder) as server:
        yield server


@pytest.fixture(scope="module")
def run(kafka: Kafka, secured: Secured) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda role, *arguments: celeryscope(_as(role, kafka, secured), *arguments)


@pytest.fixture(scope="module")
def set_up(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run("celeryscope-setup", "setup")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def failed_task(kafka: Kafka, secured: Secured, set_up: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a task whose failure, span and worker the indexer has written with its own role."""
    task_id = str(uuid.uuid4())
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        failure = messages.event(semconv.EVENT_TASK_FAILED, task_id)
        producer.send(semconv.TOPIC_LOGS, messages.request("logs", TENANT, failure))
        producer.send(
            semconv.TOPIC_TRACES,
            messages.request("spans", TENANT, messages.span(secrets.token_hex(16), secrets.token_hex(8))),
        )
    log = tmp_path_factory.mktemp("indexer") / "indexer.log"
    indices = [f"logs-celery.otel-{TENANT}", f"traces-celery.otel-{TENANT}", "celery-tasks-*", "celery-failures"]
    with IndexerProcess(_as("celeryscope-indexer", kafka, secured), log), secured.client("admin") as client:
        for index in indices:
            until(lambda index=index: _count(client, index), timeout=150, what=index)
    assert "security_exception" not in log.read_text()
    return task_id


def _as(role: str, kafka: Kafka, secured: Secured) -> dict[str, str]:
    return environment(
        kafka.bootstrap_servers,
        secured.url,
        CELERYSCOPE_ELASTICSEARCH_USERNAME=role,
        CELERYSCOPE_ELASTICSEARCH_PASSWORD=secured.password_of(role),
        CELERYSCOPE_ELASTICSEARCH_CA_FILE=str(secured.ca_file),
        CELERYSCOPE_INDEXER_GROUP_ID=f"test-{secrets.token_hex(4)}",
        CELERYSCOPE_INDEXER_FAILURE_INTERVAL="0.2",
        CELERYSCOPE_INDEXER_DEAD_LETTER_LIMIT="100000",
    )


def _count(client: Client, index: str) -> int:
    client.indices.refresh(index=index, ignore_unavailable=True)
    query = {"query_string": {"query": f'"{TENANT}"'}} if index.startswith("celery-") else None
    try:
        return int(client.count(index=index, query=query, ignore_unavailable=True)["count"])
    except ApiError as error:
        if error.status_code != 503:
            raise
        # The shard of an index that was made this moment does not answer yet.
        return 0


def test_every_role_of_the_folder_is_tested_here() -> None:
    tested = Path(__file__).read_text()
    assert ROLES
    assert [role for role in ROLES if f'"{role}"' not in tested] == []


def test_the_indexer_writes_every_kind_of_document_with_its_role(failed_task: str) -> None:
    assert failed_task


def test_the_indexer_reads_no_log_lines_and_deletes_nothing(secured: Secured, failed_task: str) -> None:
    with secured.client("celeryscope-indexer") as client:
        for forbidden in (
            lambda: client.search(index=f"logs-celery.otel-{TENANT}"),
            lambda: client.delete(index=semconv.INDEX_FAILURES, id="any"),
            lambda: client.indices.delete(index=semconv.INDEX_FAILURES),
            lambda: client.index(index="others", document={}),
            lambda: client.indices.put_index_template(name="any", index_patterns=["any"]),
        ):
            with pytest.raises(AuthorizationException):
                forbidden()


def test_a_reader_sees_tracebacks_and_changes_nothing(
    secured: Secured, failed_task: str, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shown = run("celeryscope-reader", "task", failed_task, "--tenant", TENANT)
    assert "TimeoutError" in shown.stdout, shown.stderr
    assert run("celeryscope-reader", "failures", "--tenant", TENANT).returncode == 0
    assert run("celeryscope-reader", "status", "--tenant", TENANT).returncode == 0
    with secured.client("celeryscope-reader") as client, pytest.raises(AuthorizationException):
        client.index(index=semconv.INDEX_FAILURES, document={})


def test_an_operator_decides_about_failure_clusters_and_changes_nothing_else(
    secured: Secured, failed_task: str, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    listed = json.loads(run("celeryscope-operator", "failures", "--tenant", TENANT, "--json").stdout)
    fingerprint = listed["clusters"][0]["fingerprint"]
    done = run("celeryscope-operator", "failures", "resolve", fingerprint, "--tenant", TENANT)
    assert done.returncode == 0, done.stderr
    assert run("celeryscope-reader", "failures", "reopen", fingerprint, "--tenant", TENANT).returncode == 5
    with secured.client("celeryscope-operator") as client, pytest.raises(AuthorizationException):
        client.index(index=semconv.INDEX_WORKERS, document={})


def test_the_account_is_made_with_its_role(
    failed_task: str, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run("celeryscope-account", "account", "--json")
    assert done.returncode in {0, 1}, done.stderr
    assert json.loads(done.stdout)


def test_retention_deletes_with_its_role_what_is_too_old(
    secured: Secured, failed_task: str, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with secured.client("admin") as client:
        client.index(index="celery-tasks-2020.01.01", document={"@timestamp": "2020-01-01T00:00:00Z"}, refresh=True)
        done = run(
            "celeryscope-retention",
            "retention",
            "--tasks",
            "30d",
            "--failures",
            "30d",
            "--entities",
            "30d",
            "--alerts",
            "30d",
        )
        assert done.returncode == 0, done.stderr
        assert not client.indices.exists(index="celery-tasks-2020.01.01")
        assert client.count(index=semconv.INDEX_FAILURES)["count"]
    with secured.client("celeryscope-retention") as client, pytest.raises(AuthorizationException):
        client.search(index=f"logs-celery.otel-{TENANT}")


def test_the_watcher_evaluates_records_and_silences_with_its_role(
    secured: Secured, set_up: None, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with secured.client("celeryscope-indexer") as indexer:
        for name, minutes in (("dead@a", 10), ("alive@a", 0)):
            seen = datetime.now(UTC) - timedelta(minutes=minutes)
            worker = {"@timestamp": seen, semconv.STATE: "ONLINE", semconv.WORKER: name, semconv.TENANT: TENANT}
            indexer.index(index=semconv.INDEX_WORKERS, id=name, document=worker, refresh="wait_for")
    once = run("celeryscope-watcher", "watch", "--once")
    assert "firing: worker-down: Worker dead@a" in once.stdout, once.stderr
    silenced = run("celeryscope-watcher", "alerts", "silence", "--rule", "worker-down")
    assert silenced.returncode == 0, silenced.stderr
    with secured.client("celeryscope-watcher") as client:
        until(lambda: client.count(index=semconv.INDEX_ALERTS)["count"], what="the alert is recorded")
        measured = [(semconv.MEASURE_BEHIND, semconv.TOPIC_LOGS, 1.0)]
        measurements.write(client, measurements.documents_of(measured, TENANT, datetime.now(UTC)))
        with pytest.raises(AuthorizationException):
            client.index(index=semconv.INDEX_WORKERS, document={})


def test_a_role_that_lacks_a_privilege_is_told_so_in_a_sentence(
    set_up: None, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run("celeryscope-watcher", "setup")
    assert done.returncode == 5
    assert "CELERYSCOPE_ELASTICSEARCH_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_kibana_is_known_by_its_service_token(secured: Secured) -> None:
    found = re.search(r'serviceAccountToken: "(.+)"', secured.kibana)
    assert found
    with client_of(secured.url, bearer_auth=found[1], ca_certs=str(secured.ca_file)) as client:
        assert client.security.authenticate()["username"] == "elastic/kibana"


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    script = DEPLOY / "compose" / "secrets.sh"
    subprocess.run([script, tmp_path], check=True, capture_output=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = subprocess.run([script, tmp_path], check=True, capture_output=True, text=True)
    assert again.stdout == ""
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert tmp_path.stat().st_mode & 0o077 == 0


def test_the_collector_takes_the_tokens_file(tmp_path: Path) -> None:
    subprocess.run([DEPLOY / "compose" / "secrets.sh", tmp_path], check=True, capture_output=True)
    senders = read_senders(tmp_path / "tokens.yaml", TenantLimits())
    assert [token.sha256 for token in senders.tokens] == [hash_of((tmp_path / "shop.token").read_text())]
