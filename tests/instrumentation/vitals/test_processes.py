import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from celeryscope.vitals.processes import Processes, open_files
from support.waiting import until


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process
        process.kill()


def test_a_busy_process_is_told_from_an_idle_one(busy: subprocess.Popen[bytes]) -> None:
    processes = Processes()
    pids = [busy.pid, os.getpid()]
    processes.read(pids)
    time.sleep(0.3)
    usage = processes.read(pids)
    assert usage[busy.pid].cpu > usage[os.getpid()].cpu
    assert 0.05 < usage[busy.pid].cpu < 1.2, "of one processor, as the machine lets it"


def test_the_first_reading_tells_of_the_time_since_the_process_started(busy: subprocess.Popen[bytes]) -> None:
    until(lambda: Processes().read([busy.pid])[busy.pid].cpu > 0.05, what="processor time since the start")
    usage = Processes().read([busy.pid])[busy.pid]
    assert 0 < usage.age < 60
    assert usage.memory > 1_000_000


def test_a_process_that_is_gone_is_left_out(busy: subprocess.Popen[bytes]) -> None:
    processes = Processes()
    assert list(processes.read([busy.pid])) == [busy.pid]
    busy.kill()
    busy.wait()
    assert processes.read([busy.pid]) == {}


def test_open_files_are_counted() -> None:
    before = open_files(os.getpid())
    assert before
    with open(os.devnull):  # noqa: PTH123 - a plain descriptor
        assert open_files(os.getpid()) == before + 1
