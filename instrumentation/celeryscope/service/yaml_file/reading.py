"""A YAML file as an object of its model, or everything that is wrong with it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from celeryscope.errors import ConfigError
from celeryscope.service.yaml_file.document import Document, Problem, parsed
from celeryscope.service.yaml_file.problems import NO_VALUE, problems

Model = TypeVar("Model", bound=BaseModel)


def text_of(path: Path, what: str) -> str:
    """The file's text. Raises ConfigError, which calls the file ``what``, when it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path} can't be read: {error}") from None


def checked(text: str, model: type[Model]) -> tuple[Model | None, list[Problem], Document]:
    """The model of a text and what is wrong with it, and the document, for places of what is found later.

    With any problem there is no model.
    """
    document = parsed(text)
    found = list(document.problems)
    if document.value is None and found:
        return None, found, document
    known: Model | None = None
    try:
        known = model.model_validate(document.value if document.value is not None else {})
    except ValidationError as error:
        found += problems(error, model, document)
    found += (Problem(document.at(path), NO_VALUE) for path in document.empty if path)
    return None if found else known, sorted(set(found)), document


def refused(path: Path, what: str, found: Iterable[Problem]) -> ConfigError:
    """The error with a line ``file:line:column: what is wrong`` for each problem."""
    lines = [f"{path}:{place.line}:{place.column}: {text}" for place, text in found]
    return ConfigError(
        "\n".join([f"{what} {path} can't be used, {len(lines)} problem{'s' * (len(lines) != 1)}:", *lines])
    )
