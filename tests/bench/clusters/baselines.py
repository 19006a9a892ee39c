"""Two ways to group that others describe in public, written for the comparison."""

import re
from pathlib import PurePosixPath

from clusters.corpus import Failure

_FRAME = re.compile(r'^[ |]*File "(?P<file>[^"]+)", line \d+(?:, in (?P<function>.+))?$', re.MULTILINE)
_INSTALLED = re.compile(r".*/(?:site-packages|dist-packages|installed_wheels/[^/]+|python3\.\d+|Python3\d+/Lib)/")


def type_only(failure: Failure) -> str:
    """One cluster for each type of exception."""
    return failure.type


def type_and_frames(failure: Failure) -> tuple[str, ...]:
    """The type and, of all frames of the whole chain, module and function, whoever's code it is.

    That is what Sentry's documentation of issue grouping calls grouping by stack trace, without its knowledge of
    which frames are the application's. A text doesn't tell a frame's module, so it is the path: below the folder of
    installed packages, or the last two parts of it.
    """
    frames = tuple(f"{_module(found['file'])}:{found['function']}" for found in _FRAME.finditer(failure.stacktrace))
    return failure.type, *frames


def _module(file: str) -> str:
    path = file.replace("\\", "/")
    installed = _INSTALLED.sub("", path)
    return installed if installed != path else "/".join(PurePosixPath(path).parts[-2:])
