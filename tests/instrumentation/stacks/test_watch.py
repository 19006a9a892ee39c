"""When stacks are taken; what they say is tested with real workers (tests/integration/test_stacks.py)."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from celeryscope.stacks import procfs, watch
from celeryscope.stacks.asking import Taken
from celeryscope.stacks.watch import StackWatch
from support.sink import Sink


class _Hidden:
    """A source that does not see the task the first times it looks, as when its thread is between two states."""

    def __init__(self, times: int) -> None:
        self.left = times

    def times(self, _request: Any) -> procfs.Times:
        if self.left:
            self.left -= 1
            raise LookupError
        return procfs.Times(0.0, 0.0, 0.0)

    def take(self, _request: Any) -> Taken | None:
        return Taken([], "")


class _Request:
    """As much of Celery's request as is looked at."""

    def __init__(self, runtime: float) -> None:
        self.runtime = runtime
        self.id = "t-1"
        self.name = "shop.pay"
        self.hostname = "celery@one"
        self.task = SimpleNamespace()
        self.time_start = time.time() - runtime
        self.request_dict: dict[str, Any] = {"id": self.id, "task": self.name}


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def test_a_task_that_could_not_be_seen_when_it_was_due_is_looked_for_again_at_once(
    sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would be due anew if this took long.
    monkeypatch.setattr(watch, "_runtime", lambda request: request.runtime)
    settings = Settings.load({}, spool_dir=tmp_path / "spool", endpoint=sink.url, stack_after=1)
    recorder, request, source = Recorder(settings), _Request(runtime=1.5), _Hidden(times=2)
    watching = StackWatch(recorder)
    state.active_requests.add(request)
    try:
        for _ in range(5):
            watching._look(source, recorder, lambda _seconds: None)
            request.runtime += 0.001
    finally:
        state.active_requests.discard(request)
    recorder.close()
    assert source.left == 0
    assert len(sink.events("celery.task.stack")) == 1
