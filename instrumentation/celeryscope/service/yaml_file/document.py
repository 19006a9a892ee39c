"""A YAML file as plain values, with the line and column of each of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import yaml
from yaml.constructor import SafeConstructor

Path: TypeAlias = tuple[str | int, ...]
"""From the top of the file: keys of mappings, and numbers (from 0) of lists' items."""


class Place(NamedTuple):
    """Where something stands in the file; line and column count from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """What is wrong at a place, and what would be right."""

    place: Place
    text: str


@dataclass
class Document:
    """``value``: dicts with text keys, tuples and scalars; whatever could not be read is left out of it."""

    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    keys: dict[Path, Place] = field(default_factory=dict)
    """Places of mappings' keys, by the path of their values."""
    values: dict[Path, Place] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    """Scalars as they are written: ``2.10`` is the number 2.1."""
    empty: list[Path] = field(default_factory=list)
    """Where a value is null, as it is behind a key with nothing behind it."""

    def key(self, path: Path) -> Place:
        """Where the key of this value stands; for an item of a list, the item."""
        return self.keys.get(path) or self.at(path)

    def at(self, path: Path) -> Place:
        """Where the value stands; for one that is not there, what should have it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(1, 1))


def parsed(text: str) -> Document:
    """The document in a YAML text. What YAML itself refuses is a problem, and so are aliases, tags and doubled keys."""
    document = Document()
    try:
        document.problems += _not_read(text)
        node = None if document.problems else yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        document.problems.append(_refused(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.problems.append(Problem(Place(line, 1), f"no YAML: {error.reason}"))
    except RecursionError:
        document.problems.append(Problem(Place(1, 1), "no YAML that can be read: it is nested too deeply"))
    else:
        if node is not None:
            document.value = _value(node, (), document)
    return document


def _not_read(text: str) -> Iterator[Problem]:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        # An error in a value that stands in several places would have no line of its own.
        if isinstance(event, yaml.AliasEvent):
            yield Problem(_place(event.start_mark), f"`*{event.anchor}`: aliases are not read; write the value out")
        # PyYAML fails in all kinds of ways where a value is not what its tag says.
        elif tag := getattr(event, "tag", None):
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            yield Problem(_place(event.start_mark), f"`{shown}`: tags are not read; put what shall be a text in quotes")


def _value(node: yaml.Node, path: Path, document: Document) -> Any:
    document.values[path] = _place(node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return tuple(_value(item, (*path, number), document) for number, item in enumerate(node.value))
    document.written[path] = node.value
    try:
        scalar = SafeConstructor().construct_object(node)
        if scalar is None:
            document.empty.append(path)
        return scalar
    except yaml.MarkedYAMLError as error:
        document.problems.append(_refused(error))
    except ValueError as error:
        document.problems.append(Problem(document.at(path), f"`{node.value}` can't be read: {error}"))
    return node.value


def _mapping(node: yaml.MappingNode, path: Path, document: Document) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        place = _place(key.start_mark)
        if not isinstance(key, yaml.ScalarNode):
            document.problems.append(Problem(place, "a key must be a text"))
            continue
        inner = (*path, key.value)
        if key.value in found:
            first = document.keys[inner].line
            document.problems.append(Problem(place, f"`{key.value}` stands here a second time, first in line {first}"))
            continue
        document.keys[inner] = place
        found[key.value] = _value(value, inner, document)
    return found


def _refused(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return Problem(_place(mark) if mark else Place(1, 1), f"no YAML: {said}")


def _place(mark: Any) -> Place:
    # yaml.Mark, which PyYAML's types know in two ways.
    return Place(mark.line + 1, mark.column + 1)
