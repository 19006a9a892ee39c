"""Several worker processes of one collector look like one from outside."""

import os
import re
import signal
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grpc
import psutil
import pytest
import urllib3

import grpc_calls
from collector_process import Collector, bodies, create_topics, log, logs_request
from servers import Kafka
from support.waiting import until

pytestmark = pytest.mark.kafka
TWO = {"CELERYSCOPE_COLLECTOR_WORKERS": "2"}


def metric(collector: Collector, name: str) -> float:
    found = re.search(rf"^celeryscope_collector_{name} (\S+)$", collector.get("/metrics").data.decode(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def workers(collector: Collector) -> list[psutil.Process]:
    return psutil.Process(collector.process.pid).children()


def send(collector: Collector, text: str) -> str | None:
    """Over HTTP and gRPC, each on a new connection; the text when both were accepted."""
    collector.http.clear()
    with suppress(urllib3.exceptions.HTTPError, grpc.RpcError):
        if collector.post("/v1/logs", logs_request(log(text))).status != 200:
            return None
        with grpc.insecure_channel(collector.grpc_address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            grpc_calls.call(channel, grpc_calls.LOGS, grpc_calls.logs(text), collector.token)
        return text
    return None


def eventually(collector: Collector, condition: Callable[[], bool]) -> None:
    def asked() -> bool:
        # Another process answers each time.
        collector.http.clear()
        return condition()

    until(asked)


def test_they_share_ports_metrics_and_signals_and_one_that_is_killed_comes_back(kafka: Kafka, tmp_path: Path) -> None:
    create_topics(kafka)
    tenant = f"t{uuid.uuid4().hex[:12]}"
    with Collector(kafka.bootstrap_servers, tmp_path, TWO, tenant) as collector:
        assert collector.announcement.rstrip().endswith(", 2 processes")
        eventually(collector, lambda: metric(collector, "processes") == 2)
        collector.wait_for_log("Kafka is reachable", times=2)
        accepted = [send(collector, f"before {number}") for number in range(20)]
        assert None not in accepted
        of_tenant = f'records_accepted_total{{signal="log",tenant="{tenant}"}}'
        assert metric(collector, re.escape(of_tenant)) == 40
        bound = {connection.pid for worker in workers(collector) for connection in _listening(worker)}
        assert len(bound) == 2

        workers(collector)[0].kill()
        accepted += [send(collector, f"during {number}") for number in range(20)]
        # The supervisor sees that it was killed, and then starts another.
        eventually(collector, lambda: metric(collector, "process_restarts_total") == 1)
        eventually(collector, lambda: metric(collector, "processes") == 2)
        assert metric(collector, re.escape(of_tenant)) >= 2 * len([text for text in accepted if text])
        assert any(text and text.startswith("during") for text in accepted)

        collector.process.send_signal(signal.SIGHUP)
        until(lambda: (tmp_path / "collector.log").read_text().count("file read again") == 2)
        accepted += [send(collector, f"after {number}") for number in range(10)]

        collector.process.terminate()
        assert collector.process.wait(90) == 0
    assert {text for text in accepted if text} <= set(bodies(kafka.bootstrap_servers, tenant))
    assert "Traceback" not in (tmp_path / "collector.log").read_text()


def _listening(worker: psutil.Process) -> list[psutil.Process]:
    return [worker] if any(connection.status == "LISTEN" for connection in worker.net_connections("tcp")) else []


def accepts_connections(host: str, port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex((host, port)) == 0


def test_one_control_c_drains_them(kafka: Kafka, tmp_path: Path) -> None:
    create_topics(kafka)
    body = logs_request(log())
    with Collector(kafka.bootstrap_servers, tmp_path, TWO) as collector:
        eventually(collector, lambda: metric(collector, "processes") == 2)
        host, port = collector.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"Host: x\r\nAuthorization: Bearer {collector.token}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"POST /v1/logs HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode())
            eventually(collector, lambda: metric(collector, re.escape('requests_under_way{signal="log"}')) == 1)
            # A terminal sends it to all processes of the group.
            os.killpg(collector.process.pid, signal.SIGINT)
            until(lambda: not accepts_connections(host, int(port)))
            connection.sendall(body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert collector.process.wait(90) == 0
    # A second signal would end them without waiting.
    assert (tmp_path / "collector.log").read_text().count("draining") == 2


def test_those_that_start_while_the_collector_is_stopped_end_quietly(tmp_path: Path) -> None:
    with Collector("127.0.0.1:1", tmp_path, {"CELERYSCOPE_COLLECTOR_WORKERS": "3"}, kafka_is_there=False) as collector:
        until(lambda: len(workers(collector)) == 3)
        os.killpg(collector.process.pid, signal.SIGINT)
        assert collector.process.wait(90) == 0
    assert "Traceback" not in (tmp_path / "collector.log").read_text()


def test_they_end_with_their_supervisor_even_when_that_is_killed(kafka: Kafka, tmp_path: Path) -> None:
    create_topics(kafka)
    # What a killed supervisor leaves of its folder is this test's to remove.
    with Collector(kafka.bootstrap_servers, tmp_path, TWO | {"TMPDIR": str(tmp_path)}) as collector:
        until(lambda: len(workers(collector)) == 2)
        left = workers(collector)
        os.kill(collector.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(left, timeout=90)
        assert alive == []
