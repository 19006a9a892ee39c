import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from celeryscope import cli
from celeryscope.cli import main
from celeryscope.errors import Unauthorized

COMMANDS = sorted(entry.name for entry in entry_points(group="celeryscope.commands"))
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert len(result.output) > 200
    assert result.output.startswith("Usage: ")


def test_help_lists_every_command_with_a_line() -> None:
    output = CliRunner().invoke(main, ["--help"]).output
    lines = {
        line.split()[0]: line.split()[1:] for line in output.splitlines() if line.startswith("  ") and line.split()
    }
    for name in COMMANDS:
        assert len(lines[name]) > 2, name


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["failurez"])
    assert result.exit_code == 2
    assert "No such command 'failurez'" in result.output


def test_a_command_whose_extra_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elasticsearch", None)
    for module in [name for name in sys.modules if name.startswith("celeryscope_pipelines")]:
        monkeypatch.delitem(sys.modules, module)
    result = CliRunner().invoke(main, ["failures", "--since", "1h"])
    assert result.exit_code == 2
    assert "pip install 'celeryscope[pipelines]'" in result.output
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0


def test_our_errors_end_in_one_line_and_their_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def refused() -> None:
        raise Unauthorized("No. Check the token.")

    monkeypatch.setattr(cli.Commands, "get_command", lambda *_: refused)
    result = CliRunner().invoke(main, ["refused"])
    assert result.exit_code == 5
    assert result.output == "celeryscope: No. Check the token.\n"


def test_celery_offers_the_same_commands() -> None:
    done = subprocess.run(
        [BIN / "celery", "celeryscope", "spool", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "telemetry on local disk" in done.stdout


def test_a_worker_imports_nothing_of_the_services() -> None:
    code = (
        "import sys, celeryscope; from celery import Celery; celeryscope.instrument(Celery('x'));"
        "heavy = {'pydantic', 'kafka', 'elasticsearch', 'starlette', 'rich', 'prometheus_client'};"
        "print(sorted(heavy & set(sys.modules)), [n for n in sys.modules if n.startswith('celeryscope.service')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[] []"
