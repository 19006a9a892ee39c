"""What beat tells: a real ``celery beat``, one inside a worker, and one with a scheduler of another package."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    environ = Worker(sink, redis.url, folder).environ
    command = [sys.executable, "-m", "celery", "-A", "support.beat_app", *arguments, "-l", "INFO"]
    with (folder / "celery.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=folder)
    try:
        yield sink
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module", params=KINDS)
def beat(request: pytest.FixtureRequest, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    with Sink() as sink, celery(sink, redis, folder, *KINDS[request.param]):
        until(lambda: len(of(sink, "sent", "every-second")) >= 3, what=(folder / "celery.log").read_text())
        yield sink


def of(sink: Sink, step: str, entry: str) -> list[dict[str, Any]]:
    return [event for event in sink.events(f"celery.beat.{step}") if event["celery.schedule"] == entry]


def test_an_entry_is_due_and_then_sent_as_a_task_that_can_be_found(beat: Sink) -> None:
    sent = of(beat, "sent", "every-second")[0]
    due = of(beat, "due", "every-second")[0]
    assert due["celery.clock"] < sent["celery.clock"]
    assert due["celery.beat.due_at"] == sent["celery.beat.due_at"]
    assert (sent["celery.task_name"], sent["celery.schedule.interval"]) == (f"{NAME}.succeed", 1.0)
    until(lambda: sent["celery.task_id"] in {event["celery.task_id"] for event in beat.events("celery.task.sent")})


def test_each_run_names_the_one_before_and_the_next(beat: Sink) -> None:
    first, second = of(beat, "sent", "every-second")[:2]
    assert second["celery.schedule.runs"] == first["celery.schedule.runs"] + 1
    assert first["celery.beat.last_run_at"] + SECOND == pytest.approx(first["celery.beat.due_at"], abs=SECOND / 10)
    assert second["celery.beat.due_at"] == pytest.approx(first["celery.beat.next_at"], abs=SECOND / 2)


def test_lateness_is_the_time_since_the_entry_was_due(beat: Sink) -> None:
    for sent in of(beat, "sent", "every-second"):
        assert 0 <= sent["celery.beat.late"] < 5
        came = sent["celery.clock"] - sent["celery.beat.late"] * SECOND
        assert came == pytest.approx(sent["celery.beat.due_at"], abs=SECOND)


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
        promised = of(sink, "sent", "every-second")[-1]["celery.beat.next_at"]
        before = len(of(sink, "sent", "every-second"))
        until(lambda: now_us() > promised, what="missed")
        with celery(sink, redis, tmp_path, "beat", "-s", "schedule"):
            until(lambda: len(of(sink, "sent", "every-second")) > before, what="sent again")
        first = of(sink, "sent", "every-second")[before]
    assert first["celery.beat.due_at"] == pytest.approx(promised, abs=SECOND / 2)
    began = {event["celery.beat.started_at"] for event in of(sink, "sent", "every-second")[:before]}
    assert len(began) == 1
    assert began.pop() < promised < first["celery.beat.started_at"] <= first["celery.clock"]
    away = first["celery.clock"] - promised
    assert first["celery.beat.late"] == pytest.approx(away / SECOND, abs=0.5)
