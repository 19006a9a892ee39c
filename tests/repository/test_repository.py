"""What the repository promises about itself: commands, generated pages, pins and the borders between packages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("instrumentation", "collector", "pipelines", "kibana")
PINS = sorted(path for path in (ROOT / "requirements").glob("*.txt") if path.name != "constraints.txt")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


def commands_of(page: str) -> set[str]:
    """The indented and fenced ``make`` lines of a page, without comments."""
    return {match.strip() for match in re.findall(r"^(?: {4})?(make [a-z]+)\b", page, re.MULTILINE)}


def test_the_readme_names_the_two_commands() -> None:
    assert {"make demo", "make test"} <= commands_of((ROOT / "README.md").read_text())


def test_ci_runs_exactly_a_command_of_the_readme() -> None:
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -euo pipefail"
    assert lines[1].startswith("cd ")
    assert len(lines) == 3
    assert lines[2] in commands_of((ROOT / "README.md").read_text())
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_make_alone_lists_its_commands_and_does_nothing_else() -> None:
    done = run("make")
    assert done.returncode == 0
    for command in ("demo", "up", "down", "status", "test", "lint"):
        assert f"make {command} " in done.stdout


def test_the_packages_keep_their_borders() -> None:
    done = run("lint-imports")
    assert done.returncode == 0, done.stdout


def test_the_list_of_alert_rules_is_current() -> None:
    done = run(sys.executable, "deploy/docs/alerts_reference.py", "--check", "docs/alerts.md")
    assert done.returncode == 0, done.stderr


def test_the_settings_page_is_current() -> None:
    done = run(sys.executable, "deploy/docs/settings_reference.py", "--check", "docs/settings.md")
    assert done.returncode == 0, done.stderr


def test_every_group_of_settings_stands_on_the_page() -> None:
    sources = [path.read_text() for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")]
    pattern = re.compile(r"^class (\w+)\((?:ServiceSettings|Credentials)\)", re.MULTILINE)
    groups = {name for source in sources for name in pattern.findall(source)} - {"Credentials"}
    generator = (ROOT / "deploy" / "docs" / "settings_reference.py").read_text()
    assert {"CollectorSettings", "KafkaSettings", "ElasticsearchSettings"} <= groups
    assert not {name for name in groups if name not in generator}


def test_an_outdated_settings_page_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    page.write_text((ROOT / "docs" / "settings.md").read_text().replace("COLLECTOR_PORT", "COLLECTOR_PROT"))
    done = run(sys.executable, "deploy/docs/settings_reference.py", "--check", str(page))
    assert done.returncode == 1
    assert "make docs" in done.stderr


def test_there_are_pins_for_work_here_and_for_each_image() -> None:
    assert [path.name for path in PINS] == [
        "base.txt",
        "collector.txt",
        "demo.txt",
        "dev.txt",
        "kibana.txt",
        "pipelines.txt",
    ]


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
def test_every_dependency_is_pinned_with_hashes_and_without_a_host(pins: Path) -> None:
    text = pins.read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=[a-z])", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    for entry in entries:
        assert re.match(r"[a-z0-9.\-\[\]]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
def test_the_pins_of_an_image_are_those_that_are_tested(pins: Path) -> None:
    tested = set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE))
    assert set(re.findall(r"^\S+==\S+", pins.read_text(), re.MULTILINE)) <= tested


def test_the_elasticsearch_client_has_the_servers_major_version() -> None:
    assert re.search(r"^elasticsearch==8\.", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE)
