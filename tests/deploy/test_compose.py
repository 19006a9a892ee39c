"""compose.yaml against the compose specification, the secrets and the product; no container engine runs here."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_collector.settings import CollectorSettings
from celeryscope_pipelines.settings import IndexerSettings
from support.product import named_settings, parse, setting_names

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
LOADED = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = LOADED["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("celeryscope/")}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([DEPLOY / "compose" / "secrets.sh", folder], check=True, capture_output=True)
    return folder


def _environment(name: str, secrets: Path) -> dict[str, str]:
    """What the process of a service sees, its files of secrets as variables."""
    service = OURS[name]
    found = {key: value.replace("/run/secrets", str(secrets)) for key, value in service["environment"].items()}
    for item in service["secrets"]:
        if isinstance(item, dict):
            file = Path(LOADED["secrets"][item["source"]]["file"]).name
            found[item["target"].upper()] = (secrets / file).read_text().strip()
    return found


def test_it_follows_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_file_that_is_mounted_is_made_by_the_script(secrets: Path) -> None:
    named = set(re.findall(r"\./compose/secrets/([\w.-]+)", COMPOSE.read_text()))
    assert len(named) > 10
    assert named <= {path.name for path in secrets.iterdir()}
    assert "ca.key" not in named, "the CA's key is for the one who signs"


@pytest.mark.parametrize("service", ["elasticsearch", "kibana", "collector"])
def test_its_certificates_hold_for_strict_clients_too(secrets: Path, service: str) -> None:
    files = ["-CAfile", str(secrets / "ca.crt"), str(secrets / f"{service}.crt")]
    # As Python 3.13 and later check them.
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", service, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_watcher_asks_kafka_so_that_the_rules_about_the_pipeline_work() -> None:
    assert OURS["watcher"]["environment"]["CELERYSCOPE_WATCH_PIPELINE"] == "true"


def test_the_watcher_reads_the_metrics_of_processes_that_are_there() -> None:
    watcher = OURS["watcher"]
    environ = watcher["environment"]
    for name in ("COLLECTORS", "INDEXERS"):
        address = urlsplit(environ[f"CELERYSCOPE_PIPELINE_{name}"].removeprefix("dns+"))
        assert address.hostname in OURS
    assert environ["CELERYSCOPE_PIPELINE_CA_FILE"].removeprefix("/run/secrets/") in watcher["secrets"]


def test_every_secret_of_a_service_is_declared_and_each_that_is_declared_is_used() -> None:
    used = {
        item["source"] if isinstance(item, dict) else item
        for service in OURS.values()
        for item in service.get("secrets", [])
    }
    assert used == set(LOADED["secrets"])


def test_every_setting_exists() -> None:
    targets = {item["target"].upper() for s in OURS.values() for item in s.get("secrets", []) if isinstance(item, dict)}
    named = named_settings(COMPOSE.read_text()) | targets
    assert named - setting_names() == set()


@pytest.mark.parametrize(
    "name", [name for name, service in OURS.items() if not service["image"].endswith("/shop") and "command" in service]
)
def test_every_command_exists(name: str) -> None:
    parse(OURS[name]["command"])


def test_collector_and_indexer_accept_their_settings(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, groups in {
        "collector": (CollectorSettings, KafkaSettings),
        "indexer": (IndexerSettings, KafkaSettings, ElasticsearchSettings),
    }.items():
        with monkeypatch.context() as patch:
            for variable, value in _environment(name, secrets).items():
                patch.setenv(variable, value)
            for group in groups:
                group.load()


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_write_nothing_and_gain_nothing(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "user"} & service.keys(), "the image's own user, who is not root"


def test_only_loopback_can_reach_it() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_servers_are_of_the_versions_that_are_tested() -> None:
    poms = "".join(path.read_text() for path in (DEPLOY / "local" / "servers").glob("*.pom.xml"))
    for name in ("elasticsearch", "kibana", "kafka"):
        version = SERVICES[name]["image"].split(":")[1]
        assert f"<version>{version}</version>" in poms, name


def test_all_wait_for_what_they_need() -> None:
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            if condition["condition"] == "service_completed_successfully":
                assert SERVICES[other]["restart"] == "no", f"{name} waits for {other}"
