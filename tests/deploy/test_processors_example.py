"""The annotated processors file is one that works, and shows all there is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from celeryscope.service.yaml_file.problems import models_in
from celeryscope_collector.prepare import prepared
from celeryscope_collector.processors_file.models import ProcessorsFile, Step
from celeryscope_collector.processors_file.reading import read_processors
from support.commands import celeryscope

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "collector" / "processors.yaml"


def keys(model: type[BaseModel]) -> Iterator[str]:
    """All keys that a file may have."""
    for name, field in model.model_fields.items():
        yield name
        for inner in models_in(field.annotation):
            yield from keys(inner)


def test_the_command_finds_nothing_wrong_with_it() -> None:
    shown = celeryscope(dict(os.environ), "collector", "check", str(EXAMPLE))
    assert shown.returncode == 0, shown.stderr
    assert "drop (3 rules), redaction, limits, ownership (3 rules), sampling (1 rule)" in shown.stdout


def test_it_shows_every_processor_and_each_can_be_made() -> None:
    sections = read_processors(EXAMPLE)
    assert set(sections) == set(Step.model_fields)
    assert {"identity", "drop.health-checks", "sampling"} <= set(prepared(sections))


@pytest.mark.parametrize("key", sorted(set(keys(ProcessorsFile))))
def test_every_key_stands_in_the_reference(key: str) -> None:
    assert f"`{key}`" in (ROOT / "docs" / "processors.md").read_text()
