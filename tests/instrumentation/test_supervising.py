"""What waits in a worker is told as long as the worker runs."""

import threading
from pathlib import Path

from celery import Celery

from celeryscope.out_of_memory import OutOfMemoryKills
from celeryscope.publishing import Publishing
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from celeryscope.supervising import Supervising
from celeryscope.tracing import TaskSpans
from support.waiting import until


def _threads() -> int:
    return sum(thread.name == "celeryscope-waiting" for thread in threading.enumerate())


def test_the_second_worker_of_a_process_tells_what_waits_too(tmp_path: Path) -> None:
    recorder = Recorder(Settings(spool_dir=tmp_path))
    publishing = Publishing(recorder, TaskSpans(None, recorder.describe), Celery("test"))
    supervising = Supervising(recorder, publishing, OutOfMemoryKills(None))
    for _ in range(2):
        supervising.watch()
        assert _threads() == 1
        supervising.stop()
        until(lambda: _threads() == 0)
