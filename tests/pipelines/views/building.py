"""Attempts for the tests of the views, with as little said as matters to the test."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console, Group, RenderableType

from celeryscope_pipelines.views.attempts import Attempt

START = datetime(2026, 11, 21, 14, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def attempt(
    task_id: str,
    *,
    state: str = "SUCCESS",
    sent: float | None = 0.0,
    started: float | None = None,
    ended: float | None = None,
    **more: Any,
) -> Attempt:
    more.setdefault("name", f"shop.{task_id}")
    more.setdefault("root_id", "root")
    times = {"sent_at": sent, "started_at": started, "ended_at": ended}
    return Attempt(
        task_id=task_id,
        state=state,
        **{name: at(value) for name, value in times.items() if value is not None},
        **more,
    )


def chain(*steps: str) -> tuple[tuple[str, str], ...]:
    return tuple((step, f"shop.{step}") for step in steps)


def printed(*parts: RenderableType, width: int = 100) -> str:
    """What the parts look like on a terminal without colours; blanks at the ends of lines are left out."""
    output = StringIO()
    console = Console(file=output, width=width, markup=False, highlight=False, emoji=False, color_system=None)
    console.print(Group(*parts), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())
