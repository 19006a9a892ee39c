"""Whose code a frame belongs to, and how its place is called wherever the release is deployed."""

import re
from functools import lru_cache
from typing import Final

from celeryscope_pipelines.fingerprint.traceback import Frame

_INSTALLED: Final = re.compile(
    r"^<"  # frozen, generated or interactive code
    r"|[/\\](?:site|dist)-packages[/\\]"
    r"|[/\\]lib(?:64)?[/\\](?:python|pypy)3(?:\.\d+)?t?[/\\]"
    r"|[/\\]Python3\d+[/\\]Lib[/\\]"  # Windows
    r"|[/\\]python3\d+\.zip[/\\]"
)
_CELERYS: Final = re.compile(
    # Installed or not. An application's own folder may well be called celery, so only files of Celery's own names.
    r"(?:^|[/\\])celery[/\\](?:(?:app[/\\](?:amqp|autoretry|base|builtins|task|trace)|canvas|local|result)\.py$"
    r"|(?:backends|concurrency|worker)[/\\]\w+\.py$)"
    r"|[/\\](?:site|dist)-packages[/\\]celery[/\\]"
    r"|(?:^|[/\\])(?:kombu|billiard|vine)[/\\]"
)
_SEPARATOR: Final = re.compile(r"[/\\]+")
_MODULE: Final = re.compile(r"[^\W\d]\w*")
_REVISION: Final = re.compile(r"(?=[a-f]*\d)[0-9a-f]{7,}")
"""A folder that is called like a commit is a release, no package."""
_DIGITS: Final = re.compile(r"\d+")


@lru_cache(maxsize=8192)
def is_not_celerys(path: str) -> bool:
    """Whether the file is neither of Celery, kombu, billiard or vine nor generated code."""
    return _CELERYS.search(path) is None and not path.startswith("<")


@lru_cache(maxsize=8192)
def is_application(path: str) -> bool:
    """Whether the file is of the application: not installed, not of the standard library, not generated."""
    return _INSTALLED.search(path) is None and is_not_celerys(path)


def place(frame: Frame) -> str:
    """``module in function``."""
    return f"{module(frame.path)} in {frame.name}"


@lru_cache(maxsize=8192)
def module(path: str) -> str:
    """The last two parts of the path as a module's name, whatever stands above them; generated code without numbers."""
    if path.startswith("<"):
        return _DIGITS.sub("n", path)
    parts = [part for part in _SEPARATOR.split(path) if part]
    if not parts:
        return path
    parts[-1] = parts[-1].removesuffix(".py")
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    if len(parts) > 1 and _MODULE.fullmatch(parts[-2]) and not _REVISION.fullmatch(parts[-2]):
        return ".".join(parts[-2:])
    return parts[-1]
