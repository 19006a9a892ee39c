"""What happens to senders when Kafka or the collector goes away."""

import json
import os
import signal
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import urllib3

import grpc_calls
from collector_process import Collector, account, bodies, create_topics, log, logs_request
from servers import Kafka
from support.waiting import until

pytestmark = pytest.mark.kafka
WITHOUT_GRPC = {"CELERYSCOPE_COLLECTOR_GRPC": "false"}
IMPATIENT = {"CELERYSCOPE_COLLECTOR_KAFKA_TIMEOUT": "2"}


def listens(host: str, port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex((host, port)) == 0


def accept(collector: Collector, text: str) -> None:
    """Send it until it is accepted: a Kafka that has just been started may take longer than it is given."""
    until(lambda: collector.post("/v1/logs", logs_request(log(text))).status == 200, what=f"{text} is accepted")


def test_while_kafka_is_away_senders_keep_their_data_and_once_it_is_back_all_goes_on(tmp_path: Path) -> None:
    with Kafka(tmp_path / "kafka") as kafka:
        create_topics(kafka)
        with Collector(kafka.bootstrap_servers, tmp_path, IMPATIENT) as collector:
            accept(collector, "before")

            kafka.kill()
            refused = collector.post("/v1/logs", logs_request(log("during")))
            assert (refused.status, int(refused.headers["retry-after"]) > 0) == (503, True)
            with grpc.insecure_channel(collector.grpc_address) as channel:
                call = grpc_calls.refused(channel, grpc_calls.LOGS, grpc_calls.logs("during"), collector.token)
            assert (call.code(), (grpc_calls.retry_seconds(call) or 0) > 0) == (grpc.StatusCode.UNAVAILABLE, True)
            until(lambda: collector.get("/readyz").status == 503)
            assert b"Kafka" in collector.get("/readyz").data
            assert collector.get("/healthz").status == 200

            def refuses_at_once() -> bool:
                started = time.monotonic()
                assert collector.post("/v1/logs", logs_request(log("still away"))).status == 503
                return time.monotonic() - started < 1.5

            # Known to be away: nobody waits the two seconds, but when the machine is slow.
            until(refuses_at_once)

            kafka.start()
            until(lambda: collector.get("/readyz").status == 200)
            accept(collector, "after")

            kept = bodies(kafka.bootstrap_servers, collector.tenant)
            assert {"before", "after"} <= set(kept)
            metrics = collector.get("/metrics").data
            assert b"kafka_failures_total" in metrics
            assert b'requests_total{signal="log",status="UNAVAILABLE",transport="grpc"} 1.0' in metrics


def test_a_kafka_that_hangs_is_answered_with_503_in_time_and_forgiven(tmp_path: Path) -> None:
    with Kafka(tmp_path / "kafka") as kafka:
        create_topics(kafka)
        process = json.loads((kafka.folder / "kafka.pid").read_text())["pid"]
        with Collector(kafka.bootstrap_servers, tmp_path, IMPATIENT) as collector:
            os.kill(process, signal.SIGSTOP)
            try:
                started = time.monotonic()
                assert collector.post("/v1/logs", logs_request(log("hanging"))).status == 503
                assert time.monotonic() - started < 20  # by itself a client waits half a minute
                assert collector.get("/healthz").status == 200
            finally:
                os.kill(process, signal.SIGCONT)
            assert account(collector, "log") == {"received": 1, "unavailable": 1}
            accept(collector, "after")
            until(lambda: collector.get("/readyz").status == 200)
            assert "after" in bodies(kafka.bootstrap_servers, collector.tenant)


def test_a_collector_starts_without_kafka_and_accepts_as_soon_as_it_is_there(tmp_path: Path) -> None:
    kafka = Kafka(tmp_path / "kafka")
    with Collector(kafka.bootstrap_servers, tmp_path, IMPATIENT | WITHOUT_GRPC, kafka_is_there=False) as collector:
        assert ("not yet" in collector.announcement, "grpc" in collector.announcement) == (True, False)
        assert collector.post("/v1/logs", logs_request(log())).status == 503
        with kafka:
            until(lambda: b"celeryscope setup" in collector.get("/readyz").data)
            create_topics(kafka)
            until(lambda: collector.get("/readyz").status == 200)
            accept(collector, "here")
            assert set(bodies(kafka.bootstrap_servers, collector.tenant)) == {"here"}


def test_what_was_answered_with_200_before_and_while_it_drains_is_in_kafka(kafka: Kafka, tmp_path: Path) -> None:
    create_topics(kafka)
    tenant = f"t{uuid.uuid4().hex[:12]}"
    accepted: list[str] = []
    stopped = threading.Event()

    def send(sender: int) -> None:
        for number in range(100_000):
            text = f"{sender}-{number}"
            try:
                answer = collector.post("/v1/logs", logs_request(log(text)))
            except urllib3.exceptions.HTTPError:
                return
            if answer.status == 200:
                accepted.append(text)
            if stopped.is_set() and answer.status != 200:
                return

    with Collector(kafka.bootstrap_servers, tmp_path, tenant=tenant) as collector, ThreadPoolExecutor(6) as senders:
        running = [senders.submit(send, sender) for sender in range(6)]
        until(lambda: len(accepted) > 100)
        collector.process.terminate()
        stopped.set()
        assert collector.process.wait(90) == 0
        for sender in running:
            sender.result()

    kept = bodies(kafka.bootstrap_servers, tenant)
    assert set(accepted) <= set(kept)
    assert len(set(kept) - set(accepted)) <= 6  # at most one request of each sender was under way


def test_a_request_that_is_still_arriving_when_sigterm_comes_is_finished(kafka: Kafka, tmp_path: Path) -> None:
    create_topics(kafka)
    tenant = f"t{uuid.uuid4().hex[:12]}"
    body = logs_request(log("slow"))
    with Collector(kafka.bootstrap_servers, tmp_path, tenant=tenant) as collector:
        host, port = collector.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = (
                f"POST /v1/logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {collector.token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body[:10])
            until(lambda: b'requests_under_way{signal="log"} 1' in collector.get("/metrics").data)
            collector.process.terminate()
            collector.wait_for_log("draining")
            until(lambda: not listens(host, int(port)), what="no new connections")
            assert collector.process.poll() is None
            connection.sendall(body[10:])
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert collector.process.wait(90) == 0

    assert bodies(kafka.bootstrap_servers, tenant) == ["slow"]
