"""Bars on a common time axis, as wide as the terminal allows."""

from collections.abc import Iterable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

from celeryscope_pipelines.views.waterfall import Phase
from celeryscope_pipelines.views.wording import duration

_MIN_WIDTH: Final = 12
_UNICODE: Final = {"delayed": "·", "waiting": "░", "running": "█"}
_ASCII: Final = {"delayed": ".", "waiting": "-", "running": "#"}


def legend(ascii_only: bool) -> str:
    """What the characters of a bar mean."""
    characters = _ASCII if ascii_only else _UNICODE
    words = {"delayed": "delayed (eta, countdown)", "waiting": "waiting", "running": "running"}
    return "   ".join(f"{characters[kind] * 2} {word}" for kind, word in words.items())


def cells(phases: Iterable[Phase], total: float, width: int) -> list[str]:
    """The kind of phase in each cell of a bar, ``""`` for none; every phase gets a cell, however short it is."""
    bar = [""] * width
    for phase in phases:
        begin = min(round(phase.start / total * width), width - 1) if total > 0 else 0
        end = min(round(phase.end / total * width), width) if total > 0 else width
        for cell in range(begin, max(begin + 1, end)):
            bar[cell] = phase.kind
    return bar


class Bar:
    """One row's bar; ``style`` colours its running part."""

    def __init__(self, phases: tuple[Phase, ...], total: float, style: str, ascii_only: bool) -> None:
        self._phases = phases
        self._total = total
        self._styles = {"running": Style.parse(style), "waiting": Style.parse("bright_black")}
        self._characters = _ASCII if ascii_only else _UNICODE

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for kind in cells(self._phases, self._total, options.max_width):
            yield Segment(self._characters.get(kind, " "), self._styles.get(kind))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(_MIN_WIDTH, options.max_width), options.max_width)


class Axis:
    """The heading of the bars: zero, the middle and the end of the time axis."""

    def __init__(self, total: float) -> None:
        self._total = total

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment(axis(self._total, options.max_width), Style.parse("bright_black"))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(_MIN_WIDTH, options.max_width), options.max_width)


def axis(total: float, width: int) -> str:
    """``0 s`` at the left, the total at the right, and half of it in the middle when there is room."""
    end, middle = duration(total), duration(total / 2)
    line = f"{'0 s':<{max(width - len(end), 0)}}{end}"[:width]
    at = width // 2 - len(middle) // 2
    if width >= 40:
        line = line[:at] + middle + line[at + len(middle) :]
    return line
