"""From the processors file to the sections of its processors; every problem is found at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from celeryscope.service.yaml_file.document import Document, Problem, parsed
from celeryscope.service.yaml_file.problems import NO_VALUE, problems
from celeryscope.service.yaml_file.reading import refused, text_of
from celeryscope_collector.processors_file.models import ProcessorsFile, Section, Step

_WHAT: Final = "the processors file"

Sections: TypeAlias = dict[str, Section]
"""The processors' names in their order, each with its parameters."""


def read_processors(path: Path) -> Sections:
    """The sections of a file. Raises ConfigError with a line ``file:line:column: what`` for each problem."""
    sections, found = checked(text_of(path, _WHAT))
    if found:
        raise refused(path, _WHAT, found)
    return sections


def checked(text: str) -> tuple[Sections, list[Problem]]:
    """The sections of a text, and what is wrong with it from top to bottom; with any problem there are none."""
    document = parsed(text)
    found = document.problems
    if document.value is None and found:
        return {}, found
    document.value = _with_keys(document.value)
    try:
        file = ProcessorsFile.model_validate(document.value)
    except ValidationError as error:
        found += problems(error, ProcessorsFile, document)
    found += (Problem(document.at(path), NO_VALUE) for path in document.empty if not _is_section(path))
    found += _order(document)
    if found:
        return {}, sorted(set(found))
    return {name: section for step in file.processors for name, section in _given(step)}, []


def _is_section(path: tuple[str | int, ...]) -> bool:
    """Whether it is the path of a processor's parameters, ``processors``, number, name; these may be left out."""
    return len(path) == 3


def _with_keys(content: object) -> object:
    """The content with steps that have no parameters (``- identity``) as mappings, as all others are."""
    if not isinstance(content, dict) or not isinstance(content.get("processors"), tuple):
        return content
    return {**content, "processors": tuple(map(_mapping, content["processors"]))}


def _mapping(step: Any) -> Any:
    if isinstance(step, str):
        return {step: {}}
    if isinstance(step, dict):
        return {name: {} if section is None else section for name, section in step.items()}
    return step


def _order(document: Document) -> Iterator[Problem]:
    """What is wrong with the list as a whole."""
    steps = document.value.get("processors") if isinstance(document.value, dict) else None
    if not isinstance(steps, tuple):
        return
    names: list[str] = []
    for number, step in enumerate(steps):
        place = document.at(("processors", number))
        if not isinstance(step, dict):
            continue
        if len(step) != 1:
            yield Problem(place, "one processor is needed here; begin each with a `- ` of its own")
        for name in step:
            if name in names:
                yield Problem(place, f"`{name}` stands here a second time: put its parameters together")
            if name == "redaction" and "limits" in names:
                yield Problem(place, "`redaction` must stand before `limits`: half a secret is not recognised any more")
            names.append(name)
    if "identity" not in names:
        yield Problem(document.at(("processors",)), "`identity` is missing: without it a sender could claim any tenant")


def _given(step: Step) -> Iterator[tuple[str, Section]]:
    return ((name, getattr(step, name)) for name in step.model_fields_set)
