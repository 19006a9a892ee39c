"""What a person at a terminal sees of the collector."""

import os
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import urllib3

import grpc_calls
from celeryscope_collector.tokens import hash_of
from collector_process import Collector, create_topics, log, logs_request
from servers import Kafka
from support.certificates import make_certificates
from support.waiting import until

COMMAND = Path(sys.executable).parent / "celeryscope"


def celeryscope(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CELERYSCOPE_")} | settings
    return subprocess.run(
        [COMMAND, "collector", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=150
    )


def test_a_new_token_is_shown_once_with_the_line_for_the_file() -> None:
    shown = celeryscope("token", "new", "--tenant", "shop").stdout
    token = re.search(r"csc_\S+", shown)
    assert token
    assert f"- {{tenant: shop, sha256: {hash_of(token.group())}}}" in shown


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["run"], {}, "nobody could send"),
        (["run"], {"CELERYSCOPE_COLLECTOR_TOKENS_FILE": "/nowhere"}, "/nowhere can't be read"),
        (["run"], {"CELERYSCOPE_COLLECTOR_PROT": "1"}, "CELERYSCOPE_COLLECTOR_PROT: no such setting"),
        (["run"], {"CELERYSCOPE_COLLECTOR_PROCESSORS": "limits"}, "must contain identity"),
        (["run", "--allow-anonymous"], {"CELERYSCOPE_COLLECTOR_SSL_KEY": "/k"}, "belong together"),
        (
            ["run", "--allow-anonymous"],
            {"CELERYSCOPE_COLLECTOR_SSL_KEY": "/k", "CELERYSCOPE_COLLECTOR_SSL_CERTIFICATE": "/c"},
            "can't be used",
        ),
        (
            ["run", "--allow-anonymous", "--port", "0", "--workers", "2"],
            {"CELERYSCOPE_COLLECTOR_SSL_KEY": "/k", "CELERYSCOPE_COLLECTOR_SSL_CERTIFICATE": "/c"},
            "celeryscope: the TLS certificate",
        ),
        (["run", "--allow-anonymous", "--host", "203.0.113.1"], {}, "can't listen on 203.0.113.1"),
        (["token", "new", "--tenant", "My-Shop"], {}, "lower-case"),
    ],
)
def test_wrong_settings_are_told_in_a_sentence(arguments: list[str], settings: dict[str, str], message: str) -> None:
    ended = celeryscope(*arguments, **settings)
    assert (ended.returncode, message in ended.stderr) == (2, True), ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_processors_file_is_checked_by_itself_and_before_the_collector_runs(tmp_path: Path) -> None:
    file = tmp_path / "processors.yaml"
    file.write_text("processors:\n- identity\n- sampling: {ratio: 0.5}\n")
    alone = celeryscope("check", str(file))
    assert (alone.returncode, alone.stdout) == (0, "processors  identity, sampling\n")

    file.write_text("processors:\n- identity\n- sampling: {ratoi: 0.5}\n")
    named = {"CELERYSCOPE_COLLECTOR_PROCESSORS_FILE": str(file), "CELERYSCOPE_COLLECTOR_ALLOW_ANONYMOUS": "true"}
    for arguments in (["check", str(file)], ["check"], ["--check"], ["run"], ["run", "--workers", "2", "--port", "0"]):
        ended = celeryscope(*arguments, **named)
        assert ended.returncode == 2
        assert f"{file}:3:14: unknown key `ratoi`: did you mean `ratio`?" in ended.stderr
        assert f"{file}:3:13: `ratio` is missing here" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_the_check_is_an_option_too_and_stands_alone() -> None:
    away = {"CELERYSCOPE_COLLECTOR_ALLOW_ANONYMOUS": "true", "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    assert "Kafka can't be reached" in celeryscope("--check", **away).stderr
    assert "stands alone" in celeryscope("--check", "run").stderr
    assert "Commands:" in celeryscope().stdout


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = celeryscope("run", "--allow-anonymous", "--port", str(taken.getsockname()[1]))
    assert (ended.returncode, "choose another" in ended.stderr) == (2, True)


def test_metrics_that_an_application_shares_are_not_the_collectors(tmp_path: Path) -> None:
    shared = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with Collector("127.0.0.1:1", tmp_path, shared, kafka_is_there=False) as collector:
        assert b"celeryscope_collector_ready 0.0" in collector.get("/metrics").data
    assert list(tmp_path.glob("*.db")) == []


def test_check_says_that_kafka_is_away() -> None:
    ended = celeryscope("check", "--allow-anonymous", "--kafka", "127.0.0.1:1")
    assert (ended.returncode, "Kafka can't be reached" in ended.stderr) == (4, True)


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_several_processes_do_not_listen_beside_another_collector(option: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"--port": "0"} | {option: str(taken.getsockname()[1])}
        arguments = [part for pair in ports.items() for part in pair]
        ended = celeryscope("run", "--allow-anonymous", "--workers", "2", *arguments)
    assert (ended.returncode, "choose another" in ended.stderr) == (2, True)


@pytest.mark.kafka
def test_check_shows_the_topics(kafka: Kafka) -> None:
    create_topics(kafka)

    def is_shown() -> bool:
        ended = celeryscope("check", "--allow-anonymous", "--kafka", kafka.bootstrap_servers)
        return ended.returncode == 0 and bool(re.search(r"celeryscope.logs: \d+ partition", ended.stdout))

    # A machine that is very busy may need more time than a person at a terminal is let wait.
    until(is_shown, what="the topics, and success")


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return make_certificates(tmp_path)


@pytest.mark.kafka
def test_with_tls_only_clients_with_a_certificate_get_through(kafka: Kafka, certificates: Path) -> None:
    create_topics(kafka)
    settings = {
        "CELERYSCOPE_COLLECTOR_SSL_CERTIFICATE": str(certificates / "server.pem"),
        "CELERYSCOPE_COLLECTOR_SSL_KEY": str(certificates / "server.key"),
        "CELERYSCOPE_COLLECTOR_SSL_CLIENT_CA": str(certificates / "ca.pem"),
    }
    with Collector(kafka.bootstrap_servers, certificates, settings) as collector:
        assert collector.url.startswith("https://")
        headers = {"Authorization": f"Bearer {collector.token}", "Content-Type": "application/json"}
        url = collector.url + "/v1/logs"
        context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        with (
            urllib3.PoolManager(ssl_context=context, retries=False) as http,
            pytest.raises(urllib3.exceptions.HTTPError),
        ):
            http.request("POST", url, body=b"{}", headers=headers)
        context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
        with urllib3.PoolManager(ssl_context=context, retries=False) as http:
            assert http.request("POST", url, body=logs_request(log()), headers=headers).status == 200

        ca, key, certificate = ((certificates / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
        with grpc.secure_channel(collector.grpc_address, grpc.ssl_channel_credentials(ca)) as channel:
            error = grpc_calls.refused(channel, grpc_calls.LOGS, grpc_calls.logs("x"), collector.token)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
        with grpc.secure_channel(collector.grpc_address, grpc.ssl_channel_credentials(ca, key, certificate)) as channel:
            grpc_calls.call(channel, grpc_calls.LOGS, grpc_calls.logs("x"), collector.token)
