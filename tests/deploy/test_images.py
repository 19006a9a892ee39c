"""The Dockerfile, as far as it goes without a container engine: what it copies, starts and pins."""

import json
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from support.product import parse

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
OURS = {"celeryscope", "celeryscope_collector", "celeryscope_pipelines", "celeryscope_kibana"}
TARGETS = ("collector", "indexer", "watcher", "tools", "agent", "shop")
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))

# A command as if some of the packages that are installed here were not.
_WITHOUT_THE_OTHERS = """
import json, sys
others = set(json.loads(sys.argv.pop(1)))
class Others:
    def find_spec(self, name, path=None, target=None):
        if path is None and name in others:
            raise ModuleNotFoundError(f"{name} is not among the pins", name=name)
sys.meta_path.insert(0, Others())
from celeryscope.cli import main
main()
"""


def _pins(stage: str) -> set[str]:
    """The names that the stage and those it is made from pin."""
    parent = re.search(rf"^FROM (\S+) AS {stage}$", DOCKERFILE, re.MULTILINE)
    assert parent
    found = _pins(parent[1]) if parent[1] in STAGES else set()
    for name in re.findall(r"COPY (requirements/\S+)", STAGES[stage]):
        found |= set(re.findall(r"^([\w.-]+)==", (ROOT / name).read_text(), re.MULTILINE))
    return found


def _others(pins: set[str]) -> str:
    """The modules here, as JSON, that no package among the pins brings, nor celeryscope itself."""
    kept, all_modules = set[str](), set[str]()
    names = {_normal(pin) for pin in pins} | {"celeryscope"}
    for distribution in distributions():
        modules = {str(file).split("/")[0].split(".")[0] for file in distribution.files or []}
        all_modules |= modules
        if _normal(distribution.metadata["Name"]) in names:
            kept |= modules
    return json.dumps(sorted(all_modules - kept - OURS))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_target_is_there_and_no_stage_runs_as_root() -> None:
    assert STAGES.keys() >= set(TARGETS)
    for target in TARGETS:
        assert re.search(rf"^FROM runtime AS {target}$", DOCKERFILE, re.MULTILINE)
        assert "USER" not in STAGES[target]
    assert re.search(r"^USER 10001:10001$", STAGES["runtime"], re.MULTILINE)


def test_everything_it_copies_is_there_and_gets_into_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(source == kept or source.startswith(f"{kept}/") for kept in (i.lstrip("!") for i in ignored))


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "shop"])
def test_the_command_of_each_image_exists_and_needs_no_more_than_its_pins(target: str) -> None:
    found = re.search(r"^CMD (\[.+\])$", STAGES[target], re.MULTILINE)
    environment = re.search(r"--from=(environment-\w+)", STAGES[target])
    assert found
    assert environment
    arguments = json.loads(found[1])
    parse([word for word in arguments if word != "--help"])
    words = [word for word in arguments if not word.startswith(("-", "/"))]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_OTHERS, _others(_pins(environment[1])), *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_module_that_no_pin_brings_would_be_noticed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_OTHERS, _others(_pins("environment-base")), "collector", "run", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "celeryscope[collector]" in done.stderr
