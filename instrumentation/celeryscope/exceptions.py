"""What an exception says: its type, message and Python's own text of its traceback, chains and groups complete."""

import sys
import traceback
from typing import Any

from celeryscope import semconv
from celeryscope.redaction import Redactor
from celeryscope.text import cut_middle


def type_name(kind: type[BaseException]) -> str:
    """``module.QualName``; built-in exceptions without the module, as in a traceback."""
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def message(error: BaseException) -> str:
    """``str(error)``; says so when that raises."""
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type_name(type(second))} in __str__ of {type_name(type(error))}>"


def original(einfo: Any) -> BaseException | None:
    """The exception itself, which Celery and billiard wrap or replace on its way to the result backend.

    Inside a signal handler of the failing process ``sys.exc_info()`` still has it.
    """
    current = sys.exc_info()[1]
    if current is not None:
        return current
    wrapped = getattr(einfo, "exception", None)
    found = getattr(wrapped, "exc", wrapped)
    return found if isinstance(found, BaseException) else None


def describe(error: BaseException, text: str | None, max_bytes: int, redactor: Redactor) -> dict[str, str]:
    """The ``exception.*`` attributes; ``text`` is the traceback's text when somebody has already made it."""
    if text is None:
        text = format_traceback(error)
    return {
        semconv.EXCEPTION_TYPE: type_name(type(error)),
        semconv.EXCEPTION_MESSAGE: cut_middle(message(error), max_bytes, redactor.text),
        semconv.EXCEPTION_STACKTRACE: cut_middle(text, max_bytes, redactor.traceback),
    }


def format_traceback(error: BaseException) -> str:
    """Python's text of the traceback; says so when an exception's own methods break the formatting."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as second:  # noqa: BLE001 - e.g. a __cause__ whose __str__ raises
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{frames}{type_name(type(error))}: {message(second)}\n"
