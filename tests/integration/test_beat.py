"""What beat tells: a real ``celery beat``, one inside a worker, and one with a scheduler of another package."""

import shelve
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from celeryscope.clock import now_us
from servers import Redis
from support.sink import Sink
from support.waiting import until
from support.workers import Worker

pytestmark = pytest.mark.redis

SECOND = 1_000_000
NAME = "support.worker_app"
KINDS = {
    "beat": ("beat", "-s", "schedule"),
    "worker -B": ("worker", "-B", "-c", "1", "-s", "schedule"),
    "other scheduler": ("beat", "-S", "support.beat_app:OwnTicks"),
}


@contextmanager
def celery(sink: Sink, redis: Redis, folder: Path, *arguments: str) -> Iterator[Sink]:
    # What it has told is all there when it has ended.
    environ = Worker(sink, redis.url, folder, CELERYSCOPE_FLUSH_TIMEOUT="60").environ
    command = [sys.executable, "-m", "celery", "-A", "support.beat_app", *arguments, "-l", "INFO"]
    with (folder / "celery.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=folder)
    try:
        yield sink
    finally:
        process.terminate()
        process.wait(120)


@pytest.fixture(scope="module", params=KINDS)
def beat(request: pytest.FixtureRequest, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    with Sink() as sink, celery(sink, redis, folder, *KINDS[request.param]):
        until(lambda: len(of(sink, "sent", "every-second")) >= 3, what=(folder / "celery.log").read_text())
        yield sink


def of(sink: Sink, step: str, entry: str) -> list[dict[str, Any]]:
    return [event for event in sink.events(f"celery.beat.{step}") if event["celery.schedule"] == entry]


def runs(sink: Sink, entry: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each run of the entry that was sent: as it was due, and as it was sent."""
    due = {event["celery.schedule.runs"]: event for event in of(sink, "due", entry)}
    return [(due[event["celery.schedule.runs"]], event) for event in of(sink, "sent", entry)]


def test_an_entry_is_due_and_then_sent_as_a_task_that_can_be_found(beat: Sink) -> None:
    sent = of(beat, "sent", "every-second")[0]
    due = of(beat, "due", "every-second")[0]
    assert due["celery.clock"] < sent["celery.clock"]
    assert due["celery.beat.due_at"] == sent["celery.beat.due_at"]
    assert (sent["celery.task_name"], sent["celery.schedule.interval"]) == (f"{NAME}.succeed", 1.0)
    until(lambda: sent["celery.task_id"] in {event["celery.task_id"] for event in beat.events("celery.task.sent")})


def test_each_run_names_the_one_before_and_the_next(beat: Sink) -> None:
    def fit(first: dict[str, Any], second: dict[str, Any]) -> bool:
        assert second["celery.schedule.runs"] == first["celery.schedule.runs"] + 1
        last_run_at, due_at = second["celery.beat.last_run_at"], second["celery.beat.due_at"]
        return last_run_at + SECOND == pytest.approx(due_at, abs=SECOND / 10) and due_at == pytest.approx(
            first["celery.beat.next_at"], abs=SECOND / 2
        )

    # Celery looks at the clock for itself: where beat pauses between its look and ours, a pair does not fit.
    until(lambda: any(fit(*pair) for pair in pairwise(of(beat, "sent", "every-second"))), what="two that fit")


def test_lateness_is_the_time_since_the_entry_was_due(beat: Sink) -> None:
    told = [event for event in beat.events() if event["event_name"].startswith("celery.beat.")]
    for before, event in pairwise(told):
        if event["event_name"] == "celery.beat.due":
            assert event["celery.beat.late"] >= 0
            # Beat does one after the other: it came to this entry after what it told before.
            came = event["celery.beat.due_at"] + event["celery.beat.late"] * SECOND
            assert before["celery.clock"] - 1 <= came <= event["celery.clock"] + 1
    assert all(run["celery.beat.late"] == due["celery.beat.late"] for due, run in runs(beat, "every-second"))


def test_a_task_of_another_application_is_told_as_well(beat: Sink) -> None:
    until(lambda: of(beat, "sent", "by-name"), what="sent by name")
    assert of(beat, "sent", "by-name")[0]["celery.task_name"] == "elsewhere.task"


def test_an_entry_that_can_not_be_sent_is_told_with_the_reason(beat: Sink) -> None:
    until(lambda: of(beat, "failed", "impossible"), what="failed")
    failed = of(beat, "failed", "impossible")[0]
    assert failed["severity"] == "ERROR"
    assert "not JSON serializable" in failed["exception.message"]
    assert not of(beat, "sent", "impossible")


def test_an_entry_that_is_not_due_is_not_told(beat: Sink) -> None:
    assert not of(beat, "due", "nightly")


def test_what_was_missed_while_beat_was_away_is_told_as_late(redis: Redis, tmp_path: Path) -> None:
    with Sink() as sink:
        with celery(sink, redis, tmp_path, "beat", "-s", "schedule"):
            until(lambda: len(of(sink, "sent", "every-second")) > 1, what="sent")
        # As beat keeps it: the signal may have come when an entry was due and not sent yet.
        with shelve.open(str(tmp_path / "schedule"), "r") as kept:
            last_run_at = kept["entries"]["every-second"].last_run_at
        promised = int(last_run_at.timestamp() * SECOND) + SECOND
        before = len(of(sink, "due", "every-second"))
        assert before
        until(lambda: now_us() > promised, what="missed")
        with celery(sink, redis, tmp_path, "beat", "-s", "schedule"):
            until(lambda: len(of(sink, "due", "every-second")) > before, what="due again")
        *earlier, first = of(sink, "due", "every-second")[: before + 1]
    # It came to this entry between its own start and what it then told.
    came = first["celery.beat.due_at"] + first["celery.beat.late"] * SECOND
    assert first["celery.beat.due_at"] == pytest.approx(promised, abs=SECOND / 2)
    began = {event["celery.beat.started_at"] for event in earlier}
    assert len(began) == 1
    assert began.pop() < promised < first["celery.beat.started_at"] <= came + 1 <= first["celery.clock"] + 2
