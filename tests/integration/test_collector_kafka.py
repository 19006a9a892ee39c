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
        timeout=60,
    )


def test_a_certificate_opens_a_broker_that_asks_for_one(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    tenant = f"t{unique()[:12]}"
    with Collector("", tmp_path, secure_kafka.with_certificate(), tenant) as collector:
        assert collector.post("/v1/logs", logs_request(log("through TLS"))).status == 200
    assert bodies(secure_kafka.bootstrap_servers, tenant) == ["through TLS"]


def test_a_scram_password_opens_a_broker_that_asks_for_one(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    tenant = f"t{unique()[:12]}"
    with Collector("", tmp_path, secure_kafka.with_password("SCRAM-SHA-512"), tenant) as collector:
        assert collector.post("/v1/logs", logs_request(log("with a password"))).status == 200
    assert bodies(secure_kafka.bootstrap_servers, tenant) == ["with a password"]


def test_a_plain_password_is_checked_and_a_wrong_one_told(secure_kafka: SecureKafka) -> None:
    right, wrong = (check(secure_kafka.with_password("PLAIN", password)) for password in ("correct horse", "wrong"))
    assert (right.returncode, "4 partitions" in right.stdout) == (0, True), right.stderr
    assert (wrong.returncode, "credentials don't fit" in wrong.stderr) == (4, True), wrong.stderr


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
        with ThreadPoolExecutor(8) as senders:
            assert set(senders.map(send, range(1, 9))) == {200}
        together = time.monotonic() - started - alone
    assert alone >= 0.4
    assert together < 8 * 0.4
    assert len(bodies(kafka.bootstrap_servers, tenant)) == 9
    on_disk = b"".join(file.read_bytes() for file in kafka.data.glob(f"{semconv.TOPIC_LOGS}-*/*.log"))
    assert tenant.encode() not in on_disk
