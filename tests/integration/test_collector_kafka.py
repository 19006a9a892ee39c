"""How the collector talks to Kafka: TLS, passwords, compression, batches of several requests."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from celeryscope import semconv
from collector_process import Collector, bodies, create_topics, log, logs_request, unique
from secure_kafka import SecureKafka
from servers import Kafka
from support.certificates import make_certificates
from support.waiting import until

pytestmark = pytest.mark.kafka
COMMAND = Path(sys.executable).parent / "celeryscope"


@pytest.fixture(scope="module")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    with SecureKafka(tmp_path_factory.mktemp("kafka"), certificates) as server:
        create_topics(server)
        server.add_scram_user()
        yield server


def check(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CELERYSCOPE_")} | settings
    return subprocess.run(
        [COMMAND, "collector", "check", "--allow-anonymous"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def test_a_scram_password_opens_a_broker_that_asks_for_one(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    tenant = f"t{unique()[:12]}"
    with Collector("", tmp_path, secure_kafka.with_password("SCRAM-SHA-512"), tenant) as collector:
        assert collector.post("/v1/logs", logs_request(log("with a password"))).status == 200
    assert bodies(secure_kafka.bootstrap_servers, tenant) == ["with a password"]


def test_a_certificate_or_a_plain_password_opens_it_too(secure_kafka: SecureKafka) -> None:
    for settings in (secure_kafka.with_certificate(), secure_kafka.with_password("PLAIN")):
        # A machine that is very busy may need more time than a person at a terminal is let wait.
        until(lambda settings=settings: "4 partitions" in check(settings).stdout, timeout=120)


def test_a_wrong_password_is_told_as_what_may_be_wrong(secure_kafka: SecureKafka) -> None:
    wrong = secure_kafka.with_password("PLAIN", "wrong")
    until(lambda: "credentials" in check(wrong).stderr, timeout=120)
    assert check(wrong).returncode in {4, 5}


def test_requests_wait_for_each_other_a_bounded_time_and_share_a_compressed_batch(kafka: Kafka, tmp_path: Path) -> None:
    create_topics(kafka)
    tenant, root = f"t{unique()[:12]}", unique()
    with Collector(
        kafka.bootstrap_servers, tmp_path, {"CELERYSCOPE_COLLECTOR_KAFKA_LINGER_MS": "400"}, tenant
    ) as running:

        def send(number: int) -> int:
            return running.post(
                "/v1/logs", logs_request(log(f"{tenant} {number} " + "x" * 500, celery__root_id=root))
            ).status

        started = time.monotonic()
        assert send(0) == 200
        alone = time.monotonic() - started
        sent = [0]

        def share_a_wait() -> bool:
            started = time.monotonic()
            with ThreadPoolExecutor(16) as senders:
                assert set(senders.map(send, range(len(sent), len(sent) + 16))) == {200}
            sent.extend(range(len(sent), len(sent) + 16))
            return time.monotonic() - started < 16 * 0.4

        # One after the other they would never be as quick; a slow machine may need another attempt.
        until(share_a_wait)
    assert alone >= 0.4
    assert len(bodies(kafka.bootstrap_servers, tenant)) == len(sent) > 16
    on_disk = b"".join(file.read_bytes() for file in kafka.data.glob(f"{semconv.TOPIC_LOGS}-*/*.log"))
    assert on_disk
    assert tenant.encode() not in on_disk
