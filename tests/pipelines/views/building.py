"""Attempts for the tests of the views, with as little said as matters to the test."""

from datetime import UTC, datetime, timedelta
from typing import Any

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
