"""Tells which modules celeryscope's threads import: a process forked meanwhile would find them unfinished for good."""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class _Recorder:
    """A finder that finds nothing, and writes down what our threads looked for."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        thread = threading.current_thread().name
        if thread.startswith("celeryscope"):
            with self._file.open("a") as file:
                file.write(f"{name} in {thread}\n")


if "IMPORTS_IN_THREADS" in os.environ:
    sys.meta_path.insert(0, _Recorder(Path(os.environ["IMPORTS_IN_THREADS"])))
