"""What the models refuse, as sentences that say what would be right, each with its place in the file."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from celeryscope.service.yaml_file.document import Document, Path, Problem

NO_VALUE: Final = "a value is missing here"
_MAPPING: Final = "a mapping is needed, `key: value`, a line each"
_SENTENCES: Final = {
    "string_too_short": "a text is missing here",
    "too_short": "at least one is needed",
    "model_type": _MAPPING,
    "dict_type": _MAPPING,
    "string_pattern_mismatch": "a name is needed: lower-case letters, digits, `_` and `-`, a letter or digit first",
}


def problems(error: ValidationError, model: type[BaseModel], document: Document) -> Iterator[Problem]:
    """A problem for each of the error's details; ``model`` is that of the whole document."""
    for details in error.errors():
        path = details["loc"]
        if details["type"] == "too_short" and details["input"]:
            # pydantic counts an item that is wrong as missing, too.
            continue
        if path[-1:] == ("[key]",):
            # pydantic's way to say that the key is wrong, not its value.
            yield Problem(document.key(path[:-1]), _sentence(details, path[:-1], document))
        elif details["type"] == "extra_forbidden":
            yield Problem(document.key(path), _unknown_key(path, model))
        else:
            yield Problem(document.at(path), _sentence(details, path, document))


def _unknown_key(path: Path, model: type[BaseModel]) -> str:
    known = list(_model_at(model, path[:-1]).model_fields)
    key = str(path[-1])
    return f"unknown key `{key}`: {_suggestion(key, known)}" if known else f"unknown key `{key}`: here stand none"


def _suggestion(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else "use " + ", ".join(f"`{name}`" for name in known)


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """The model of the section at the path."""
    for part in path:
        field = model.model_fields.get(str(part))
        # A number of a list's item, or a name that the user has chosen: the model is that of the whole list or mapping.
        if field is not None:
            model = next(models_in(field.annotation), model)
    return model


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in the type of a field, e.g. that of a list's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def _sentence(details: ErrorDetails, path: Path, document: Document) -> str:
    kind, shown = details["type"], document.written.get(path, "")
    if details["input"] is None:
        return NO_VALUE
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    if kind == "missing":
        return f"`{path[-1]}` is missing here"
    if kind == "string_type":
        return f'a text is needed: put it in quotes, "{shown}"' if shown else "a text is needed"
    if kind == "tuple_type":
        return f"a list is needed: [{shown}]" if shown else "a list is needed"
    if kind == "literal_error":
        known = [text.strip("'") for text in details["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return f"`{shown}` is not known here: {_suggestion(shown, known)}"
    if kind == "value_error":
        return details["msg"].removeprefix("Value error, ")
    return f"`{shown}`: {details['msg'].replace('Input should', 'it should')}"
