"""Figures: a table on the screen and a list in a file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One figure; ``goal`` is the most (or, with ``at_least``, the least) it may be; None: it is there for contrast."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def as_dict(self) -> dict[str, object]:
        """``{"name", "value", "unit", "goal", "holds"}``."""
        plain = asdict(self) | {"value": round(self.value, 3), "holds": self.holds}
        return {name: plain[name] for name in ("name", "value", "unit", "goal", "holds")}


def paired(plain: Sequence[float], other: Sequence[float]) -> float:
    """Median of the differences within the pairs."""
    return median(after - before for before, after in zip(plain, other, strict=True))


def show(figures: Sequence[Figure]) -> None:
    """Print the table, and the goals that are missed below it."""
    table = Table("figure", "value", "unit", "goal", "holds")
    for figure in figures:
        goal = "" if figure.goal is None else f"{'≥' if figure.at_least else '≤'} {figure.goal:g}"
        holds = {None: "", True: "yes", False: "NO"}[figure.holds]
        table.add_row(figure.name, f"{figure.value:,.2f}", figure.unit, goal, holds)
    console = Console(width=140)
    console.print(table)
    for figure in figures:
        if figure.holds is False:
            console.print(f"missed: {figure.name}: {figure.value:,.2f} {figure.unit}, goal {figure.goal:g}")


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write all figures, also those that miss their goal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([figure.as_dict() for figure in figures], indent=2, ensure_ascii=False)
    path.write_text(text + "\n")
