"""The variables of the application's frames of a traceback, as text: bounded, redacted, and without side effects.

What a ``repr`` may cost is not ours to know. Those of Python's own types are made here, from what is in them and no
further than the bounds. Other objects are asked for theirs, and what they raise is told in its place; but not those
whose ``repr`` is known to query a database or to compute (``_LAZY``), which are told by their type.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from celeryscope.redaction import REDACTED, Redactor, tells_nothing
from celeryscope.text import cut_middle

FRAMES_MOST: Final = 10
"""Frames of the application that are told, the innermost."""
VARIABLES_MOST: Final = 50
"""Variables of a frame that are told."""
VALUE_MOST: Final = 500
"""Characters of a value."""
ITEMS_MOST: Final = 20
"""Items of a container that are told."""
BYTES_MOST: Final = 32 * 1024
"""Of all of it."""
_DEEPEST: Final = 4
_BITS_MOST: Final = 1024
_LAZY: Final = ("django.db.models.", "sqlalchemy.orm.query", "dask.", "pyspark.", "polars.", "xarray.")
"""Modules whose objects query, load or compute for their ``repr``; a type counts with all that it inherits from."""
_INSTALLED: Final = re.compile(
    r"^<|[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python3(?:\.\d+)?t?[/\\]|[/\\](?:celery|kombu|billiard)[/\\]"
)
"""Files that are not the application's: generated, installed, of Python itself or of Celery."""


def told(error: BaseException, redactor: Redactor) -> str | None:
    """Frame by frame, the innermost last, ``path:line in function`` and a line for each variable; None without any.

    Call it while the exception is handled: Celery clears the frames right behind.
    """
    frames = list(_application_frames(error))[-FRAMES_MOST:]
    if not frames:
        return None
    lines: list[str] = []
    for frame, line in frames:
        lines.append(f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}")
        lines += (f"    {name} = {shown}" for name, shown in _variables(frame, redactor))
    return cut_middle("\n".join(lines), BYTES_MOST)


def _application_frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    entry = error.__traceback__
    while entry is not None:
        if is_application(entry.tb_frame.f_code.co_filename):
            yield entry.tb_frame, entry.tb_lineno
        entry = entry.tb_next


@lru_cache(maxsize=4096)
def is_application(path: str) -> bool:
    """Whether a file is of the application."""
    return _INSTALLED.search(path) is None


def _variables(frame: FrameType, redactor: Redactor) -> Iterator[tuple[str, str]]:
    variables = [(name, value) for name, value in frame.f_locals.items() if not name.startswith(("__", "@"))]
    for name, value in variables[:VARIABLES_MOST]:
        secret = redactor.is_secret(name) and not tells_nothing(name, value)
        yield name, REDACTED if secret else shown(value, redactor)
    if len(variables) > VARIABLES_MOST:
        yield "...", f"{len(variables) - VARIABLES_MOST} more"


def shown(value: Any, redactor: Redactor) -> str:
    """The bounded ``repr`` of a value, without secrets; never raises."""
    try:
        text = redactor.text(_shown(value, redactor, 0))
    except Exception as error:  # noqa: BLE001 - a container may change while it is looked at
        text = f"<{type(value).__name__}: {type(error).__name__} in its repr>"
    text = text.replace("\n", "\\n")
    return text if len(text) <= VALUE_MOST else f"{text[: VALUE_MOST // 2]} ... {text[-VALUE_MOST // 2 :]}"


def _shown(value: Any, redactor: Redactor, depth: int) -> str:
    if value is None or isinstance(value, bool | float | complex):
        return repr(value)
    if isinstance(value, int) and type(value).__repr__ is int.__repr__:
        return repr(value) if value.bit_length() <= _BITS_MOST else f"<int of {value.bit_length()} bits>"
    if isinstance(value, str | bytes | bytearray):
        return _of_text(value, redactor)
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _of_container(value, redactor, depth)
    return _of_object(value)


def _of_text(value: str | bytes | bytearray, redactor: Redactor) -> str:
    if len(value) <= VALUE_MOST:
        return repr(str(value) if isinstance(value, str) else bytes(value))
    # Redacted before it is cut, as far as it can show: the cut may fall between a name and its value.
    start = value[: 4 * VALUE_MOST]
    text = redactor.text(start if isinstance(start, str) else bytes(start).decode("latin-1"))
    return f"{text[:VALUE_MOST]!r}... ({len(value)} {'characters' if isinstance(value, str) else 'bytes'})"


def _of_container(value: Any, redactor: Redactor, depth: int) -> str:
    kind = next(kind for kind in (dict, list, tuple, set, frozenset) if isinstance(value, kind))
    name = "" if type(value) is kind else type(value).__name__
    size = kind.__len__(value)
    if depth >= _DEEPEST:
        return f"<{name or kind.__name__} of {size}>"
    more = [f"... {size - ITEMS_MOST} more"] if size > ITEMS_MOST else []
    # By the type's own methods: a subclass may load or compute in its.
    if kind is dict:
        items = [_item(key, inner, redactor, depth + 1) for key, inner in islice(dict.items(value), ITEMS_MOST)]
    else:
        items = [_shown(inner, redactor, depth + 1) for inner in islice(kind.__iter__(value), ITEMS_MOST)]
    text = ", ".join((*items, *more))
    left, right = ("[", "]") if kind is list else ("(", ")") if kind is tuple else ("{", "}")
    comma = "," if kind is tuple and size == 1 else ""
    return f"{name}({left}{text}{right})" if name else f"{left}{text}{comma}{right}"


def _item(key: Any, value: Any, redactor: Redactor, depth: int) -> str:
    told_key = _shown(key, redactor, depth)
    secret = isinstance(key, str) and redactor.is_secret(key) and not tells_nothing(key, value)
    return f"{told_key}: {REDACTED!r}" if secret else f"{told_key}: {_shown(value, redactor, depth)}"


def _of_object(value: Any) -> str:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, ModuleType | FunctionType | MethodType | type):
        return f"<{kind.__name__} {getattr(value, '__qualname__', value.__name__)}>"
    if is_lazy(kind.__mro__):
        return f"<{name}>"
    try:
        return repr(value)[: 4 * VALUE_MOST]
    except Exception as error:  # noqa: BLE001 - a user's __repr__ may raise anything
        return f"<{name}: {type(error).__name__} in __repr__>"


@lru_cache(maxsize=4096)
def is_lazy(inherits: Iterable[type]) -> bool:
    """Whether an object with these types does work, or I/O, for its ``repr``."""
    return any(f"{kind.__module__}.{kind.__name__}".startswith(_LAZY) for kind in inherits)
