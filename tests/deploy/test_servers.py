"""The local servers: ready when they say so, restartable, and gone when their Python process is gone."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from pathlib import Path

import psutil
import pytest
import urllib3
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kombu import Connection
from redis import Redis as RedisClient

from celeryscope.errors import ConfigError, Rejected, Unavailable
from servers import Elasticsearch, Kafka, RabbitMQ, Redis
from servers.__main__ import standing
from servers.download import verify

LOCAL = Path(__file__).parents[2] / "deploy" / "local"


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until_gone(pid: int, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not is_gone(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def names_of(processes: list[psutil.Process]) -> set[str]:
    """Without those that have ended: RabbitMQ starts a program now and then to ask how full the disk is."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.name())
    return found


@pytest.mark.kafka
def test_kafka_takes_a_topic_and_gives_back_a_message(kafka: Kafka) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.create_topics([NewTopic("test-servers", 2, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all")
    producer.send("test-servers", b"hello").get(timeout=60)
    producer.close()
    consumer = KafkaConsumer(
        "test-servers",
        bootstrap_servers=kafka.bootstrap_servers,
        group_id="test-servers",
        auto_offset_reset="earliest",
        consumer_timeout_ms=90_000,
    )
    assert next(consumer).value == b"hello"
    consumer.close()


@pytest.mark.kafka
def test_a_killed_kafka_comes_back_on_its_port_with_its_topics(tmp_path: Path) -> None:
    with Kafka(tmp_path) as kafka:
        address = kafka.bootstrap_servers
        admin = KafkaAdminClient(bootstrap_servers=address)
        admin.create_topics([NewTopic("kept", 1, 1)])
        admin.close()
        kafka.kill()
        assert not kafka.alive
        kafka.start()
        assert kafka.bootstrap_servers == address
        admin = KafkaAdminClient(bootstrap_servers=address)
        assert "kept" in admin.list_topics()
        admin.close()
    assert not kafka.alive
    assert not (tmp_path / "data").exists()


@pytest.mark.kafka
def test_kafka_takes_a_cluster_id_that_begins_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dashed = uuid.UUID(bytes=b"\xfb" + bytes(15))
    monkeypatch.setattr(uuid, "uuid4", lambda: dashed)
    Kafka(tmp_path).prepare()
    assert "cluster.id=-" in (tmp_path / "data" / "meta.properties").read_text()


@pytest.mark.elasticsearch
def test_elasticsearch_finds_what_was_written(elasticsearch: Elasticsearch) -> None:
    document = f"{elasticsearch.url}/test-servers/_doc/1"
    assert urllib3.request("PUT", f"{document}?refresh=true", json={"word": "hello"}).status == 201
    found = urllib3.request("GET", f"{elasticsearch.url}/test-servers/_search?q=word:hello").json()
    assert found["hits"]["total"]["value"] == 1


@pytest.mark.elasticsearch
def test_elasticsearch_answers_esql(elasticsearch: Elasticsearch) -> None:
    url = f"{elasticsearch.url}/test-servers-esql"
    for document, task in enumerate(("pay", "pay", "ship")):
        urllib3.request("PUT", f"{url}/_doc/{document}?refresh=true", json={"task": task})
    question = {"query": "FROM test-servers-esql | STATS times = COUNT(*) BY task.keyword | WHERE times > 1"}
    answer = urllib3.request("POST", f"{elasticsearch.url}/_query", json=question).json()
    assert answer["values"] == [[2, "pay"]]


@pytest.mark.elasticsearch
def test_elasticsearch_with_security_wants_its_password(tmp_path: Path) -> None:
    with Elasticsearch(tmp_path, security=True) as server:
        health = f"{server.url}/_cluster/health"
        assert urllib3.request("GET", health).status == 401
        login = urllib3.make_headers(basic_auth=f"{server.user}:{server.password}")
        assert urllib3.request("GET", health, headers=login).status == 200


@pytest.mark.kafka
@pytest.mark.elasticsearch
@pytest.mark.redis
def test_the_command_brings_all_three_up_and_down_again(tmp_path: Path) -> None:
    def servers(action: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "servers", "--folder", str(tmp_path), "--free-ports", action]
        environment = {**os.environ, "PYTHONPATH": str(LOCAL)}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    try:
        assert servers("up").returncode == 0
        assert servers("status").stdout.count(", up") == 3
        assert servers("up").returncode == 0, "what runs is left alone"
    finally:
        assert servers("down").returncode == 0
    status = servers("status")
    assert status.returncode == 4
    assert status.stdout.count(", down") == 3
    assert not [folder for server in standing(tmp_path) for folder in server.storage() if folder.exists()]


@pytest.mark.redis
def test_redis_answers_and_is_found_again_through_its_folder(tmp_path: Path) -> None:
    with Redis(tmp_path) as first:
        again = Redis(tmp_path)
        assert again.url == first.url
        assert again.alive
        with RedisClient.from_url(again.url) as client:
            assert client.ping()
        again.stop()
        assert not first.alive


@pytest.mark.rabbitmq
def test_rabbitmq_gives_back_a_message_and_leaves_no_process_behind(tmp_path: Path) -> None:
    with RabbitMQ(tmp_path) as server:
        family = psutil.Process(server._recorded()["pid"]).children(recursive=True)
        assert "epmd" in names_of(family)
        with Connection(server.url) as client:
            queue = client.SimpleQueue("test-servers")
            queue.put("hello")
            assert queue.get(timeout=60).payload == "hello"
            queue.close()
    assert all(until_gone(process.pid) for process in family)
    assert not (tmp_path / "data").exists()


@pytest.mark.rabbitmq
def test_a_killed_rabbitmq_takes_its_port_mapper_along(tmp_path: Path) -> None:
    with RabbitMQ(tmp_path) as server:
        family = psutil.Process(server._recorded()["pid"]).children(recursive=True)
        server.kill()
        assert all(until_gone(process.pid) for process in family)


@pytest.mark.redis
def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"needs port {port}"):
            Redis(tmp_path, port).start()


@pytest.mark.redis
def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    class Broken(Redis):
        def command(self) -> tuple[list[str], dict[str, object]]:
            return ["redis-server", "--nonsense"], {}

    with pytest.raises(Unavailable, match="nonsense"):
        Broken(tmp_path).start()


@pytest.mark.redis
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from servers import Redis
        redis = Redis(Path(sys.argv[1]))
        redis.start()
        print(redis._process().pid, flush=True)
        time.sleep(60)
    """
    environment = {**os.environ, "PYTHONPATH": str(LOCAL)}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(how)
        parent.wait()
    try:
        assert until_gone(pid)
    finally:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.redis
def test_a_server_does_not_end_with_the_thread_that_started_it(tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    starter = threading.Thread(target=redis.start)
    starter.start()
    starter.join()
    time.sleep(0.3)
    assert redis.alive
    redis.stop()


def test_a_download_with_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "downloaded"
    folder.mkdir()
    (folder / "server.jar").write_bytes(b"what we know")
    hashes = tmp_path / "hashes"
    hashes.write_text(f"{hashlib.sha256(b'what we know').hexdigest()}  server.jar\n")
    verify(folder, hashes)
    (folder / "server.jar").write_bytes(b"something else")
    with pytest.raises(Rejected, match=r"server\.jar"):
        verify(folder, hashes)


def test_a_file_too_many_or_too_few_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "downloaded"
    folder.mkdir()
    hashes = tmp_path / "hashes"
    hashes.write_text(f"{hashlib.sha256(b'').hexdigest()}  expected.jar\n")
    (folder / "extra.jar").touch()
    with pytest.raises(Rejected, match=r"expected\.jar, extra\.jar"):
        verify(folder, hashes)
