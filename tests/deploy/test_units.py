"""The units of systemd and the programs of Supervisor: their own tools read them, and what they start exists."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from support.product import named_settings, parse, setting_names

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = [path for path in sorted((DEPLOY / "systemd").glob("*.service")) if path.stem != "celeryscope-agent"]
SUPERVISOR = DEPLOY / "supervisor" / "celeryscope.conf"


@pytest.mark.parametrize("path", [*UNITS, SUPERVISOR], ids=lambda path: path.name)
def test_every_command_and_setting_exists(path: Path) -> None:
    commands = re.findall(r"^(?:ExecStart|command)=\S+/celeryscope (.+)$", path.read_text(), re.MULTILINE)
    assert commands
    for command in commands:
        parse(shlex.split(command))
    assert named_settings(path.read_text()) - setting_names() == set()


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_understands_each_unit(path: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("there is no systemd-analyze here")
    # It insists on the program and the user, which are not here.
    unit = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.MULTILINE)
    (tmp_path / path.name).write_text(unit.replace("User=celeryscope", "User=root"))
    for timer in (DEPLOY / "systemd").glob("*.timer"):
        shutil.copy(timer, tmp_path)
    files = [str(file) for file in tmp_path.iterdir()]
    done = subprocess.run([analyze, "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "celeryscope" in line] == []
    assert done.returncode == 0, done.stderr


def test_supervisor_understands_its_programs(tmp_path: Path) -> None:
    # It insists on the user and on the folder of the logs, too.
    text = SUPERVISOR.read_text().replace("/var/log/celeryscope", str(tmp_path))
    (tmp_path / "supervisord.conf").write_text(
        f"[supervisord]\nlogfile={tmp_path}/log\n[include]\nfiles={tmp_path}/celeryscope.conf\n"
    )
    (tmp_path / "celeryscope.conf").write_text(re.sub(r"^user=.+$", "user=root", text, flags=re.MULTILINE))
    options = ServerOptions()
    options.realize(["-c", str(tmp_path / "supervisord.conf")])
    programs = {config.name: config for group in options.process_group_configs for config in group.process_configs}
    assert len(programs) == 5
    ports = [dict(config.environment or {}).get("CELERYSCOPE_INDEXER_HTTP_PORT") for config in programs.values()]
    assert sorted(filter(None, ports)) == ["9475", "9476"]
