"""The terminal as the services' commands use it: the only place that writes to it."""

import io
import os
import sys
from collections.abc import Mapping
from typing import Any

import orjson
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 120
"""Columns when the output is no terminal and COLUMNS says nothing: a pipe has no width of its own."""


class _Console(Console):
    """A console that leaves a closed pipe to the command (rich would end with exit code 1)."""

    def on_broken_pipe(self) -> None:
        """The reader (head, less) has seen enough."""
        _give_up_writing()
        raise BrokenPipeError


def _give_up_writing() -> None:
    # What is still buffered goes nowhere: Python would complain about it when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Terminal:
    """Standard output as a view sees it; respects COLUMNS, NO_COLOR, FORCE_COLOR and the output's encoding."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A character that the encoding lacks is shown as an escape: a view never fails over a task's name.
            sys.stdout.reconfigure(errors="backslashreplace")
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
        self._console = _Console(markup=False, highlight=False, emoji=False, width=width, legacy_windows=False)

    @property
    def ascii_only(self) -> bool:
        """Whether the encoding is something else than Unicode."""
        return self._console.options.ascii_only

    @property
    def width(self) -> int:
        """Columns."""
        return self._console.width

    def show(self, *renderables: RenderableType) -> None:
        """Print the parts of a view; lines made by ``verbatim`` are as long as they are."""
        # In a group, because print() joins bare texts into one that may be wrapped.
        self._console.print(Group(*renderables), crop=False)


def show_json(data: Mapping[str, Any]) -> None:
    """Write the data as one JSON object, indented, and nothing else."""
    try:
        sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_writing()
        raise


def verbatim(text: str | Text, style: str = "") -> Text:
    """Text that is neither wrapped nor cut, so that it can be copied as it is."""
    whole = text if isinstance(text, Text) else Text(text, style=style)
    whole.overflow = "ignore"
    return whole


def plain_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines; headings in ``right`` and their cells are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table
