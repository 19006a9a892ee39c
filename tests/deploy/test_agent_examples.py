"""What the examples of the agent name exists: commands, options and settings; and systemd understands its unit."""

import dataclasses
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from celeryscope.settings import PREFIX, Settings
from celeryscope.shipping.commands import agent

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
MANIFEST = ROOT / "deploy" / "kubernetes" / "worker-with-agent.yaml"
EXAMPLES = [SYSTEMD / "celeryscope-agent.service", SYSTEMD / "worker.conf", MANIFEST]

OPTIONS = {option for parameter in agent.params for option in parameter.opts}


def _check_agent(arguments: list[str]) -> None:
    """A ``celeryscope agent ...`` as a person would type it."""
    commands = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["celeryscope.commands"]
    assert commands[arguments[1]] == f"{agent.callback.__module__}:{agent.name}"  # type: ignore[union-attr]
    assert {word for word in arguments if word.startswith("--")} <= OPTIONS
    agent.make_parser(agent.make_context("agent", [], resilient_parsing=True)).parse_args(arguments[2:])


def _manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())
    return loaded


def _directives(path: Path) -> list[tuple[str, str]]:
    lines = [line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_setting_in_an_example_exists(path: Path) -> None:
    known = {PREFIX + field.name.upper() for field in dataclasses.fields(Settings)}
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", path.read_text()))
    assert named
    assert named <= known


def test_the_units_command_exists() -> None:
    (command,) = [value for name, value in _directives(EXAMPLES[0]) if name == "ExecStart"]
    arguments = shlex.split(command)
    assert arguments[0].endswith("/celeryscope")
    _check_agent(arguments)


def test_the_units_settings_are_valid_and_the_worker_writes_where_the_agent_reads() -> None:
    environments = {
        path: dict(value.split("=", 1) for name, value in _directives(path) if name == "Environment")
        for path in EXAMPLES[:2]
    }
    for environment in environments.values():
        Settings.load(environment)
    worker = Settings.load(environments[EXAMPLES[1]])
    (command,) = [value for name, value in _directives(EXAMPLES[0]) if name == "ExecStart"]
    assert not worker.ship
    assert str(worker.spool_dir) in shlex.split(command)


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("there is no systemd-analyze here")
    unit = EXAMPLES[0].read_text()
    # It insists on the program, which is not installed at that place here.
    installed = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
    (tmp_path / EXAMPLES[0].name).write_text(installed.replace("User=celery", "User=root"))
    worker = tmp_path / "worker.service"
    worker.write_text("[Service]\nExecStart=/bin/true\n")
    (tmp_path / "worker.service.d").mkdir()
    (tmp_path / "worker.service.d" / "celeryscope.conf").write_text(EXAMPLES[1].read_text())
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / EXAMPLES[0].name), str(worker)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "celeryscope" in line or "worker" in line]
    assert said == []
    assert done.returncode == 0, done.stderr


def test_the_manifests_commands_and_settings_exist_and_fit_together() -> None:
    pod = _manifest()["spec"]["template"]["spec"]
    (sidecar,), (worker,) = pod["initContainers"], pod["containers"]
    _check_agent(sidecar["command"])
    environments = [
        {item["name"]: item.get("value", "a-secret") for item in container["env"]} for container in (sidecar, worker)
    ]
    agents, workers = map(Settings.load, environments)
    assert not workers.ship
    assert str(workers.spool_dir) in sidecar["command"]
    assert agents.spool_max_bytes == workers.spool_max_bytes


def test_the_manifest_keeps_what_the_agent_needs() -> None:
    spec = _manifest()["spec"]
    pod = spec["template"]["spec"]
    (sidecar,), (worker,) = pod["initContainers"], pod["containers"]
    assert sidecar["restartPolicy"] == "Always", "a native sidecar: it ends after the worker"
    assert pod["securityContext"]["runAsUser"] > 0
    for container in (sidecar, worker):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert "runAsUser" not in container["securityContext"], "one user for both"
        (mount,) = container["volumeMounts"]
        volume = next(volume for volume in pod["volumes"] if volume["name"] == mount["name"])
        assert "emptyDir" in volume
        spool = next(word for word in [*sidecar["command"]] if word.startswith("/"))
        assert spool.startswith(mount["mountPath"] + "/"), "a folder in the mount: the mount is root's"
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    flush = next(int(item["value"]) for item in sidecar["env"] if item["name"] == "CELERYSCOPE_FLUSH_TIMEOUT")
    assert pod["terminationGracePeriodSeconds"] > 2 * flush
