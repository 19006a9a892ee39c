import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from celeryscope.vitals.processes import Processes, open_files
from support.waiting import until

OPENS = """
import os
print("ready", flush=True)
input()
file = os.open(os.devnull, os.O_RDONLY)
print("open", flush=True)
input()
"""


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process
        process.kill()


@pytest.fixture
def idle() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until it is told to open a file."""
    with subprocess.Popen([sys.executable, "-c", OPENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that it has used."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def test_a_busy_process_is_told_from_an_idle_one(
    busy: subprocess.Popen[bytes], idle: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes, pids = Processes(), [busy.pid, idle.pid]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    before = _cpu(busy)
    processes.read(pids)
    begun = _cpu(busy)
    until(lambda: _cpu(busy) >= begun + 0.3, what="processor time of the busy one")
    now += 10
    usage = processes.read(pids)
    assert 0.3 - 1e-6 <= 10 * usage[busy.pid].cpu <= _cpu(busy) - before + 1e-6
    assert 10 * usage[idle.pid].cpu < 0.1


def test_the_first_reading_tells_of_the_time_since_the_process_started(busy: subprocess.Popen[bytes]) -> None:
    until(lambda: Processes().read([busy.pid])[busy.pid].cpu > 0.01, what="processor time since the start")
    usage = Processes().read([busy.pid])[busy.pid]
    assert 0 < usage.age < 60
    assert usage.memory > 1_000_000


def test_a_process_that_is_gone_is_left_out(busy: subprocess.Popen[bytes]) -> None:
    processes = Processes()
    assert list(processes.read([busy.pid])) == [busy.pid]
    busy.kill()
    busy.wait()
    assert processes.read([busy.pid]) == {}


def test_open_files_are_counted(idle: subprocess.Popen[bytes]) -> None:
    assert idle.stdin is not None
    assert idle.stdout is not None
    before = open_files(idle.pid)
    assert before
    idle.stdin.write(b"\n")
    idle.stdin.flush()
    assert idle.stdout.readline() == b"open\n"
    assert open_files(idle.pid) == before + 1
