"""Asking real processes for their stacks: those that have registered, and those that a signal would kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celeryscope.stacks import asking, procfs
from celeryscope.stacks.asking import ChildStacks, ask
from celeryscope.stacks.frames import parse
from celeryscope.stacks.registration import Registered, free_signal, registered
from support.waiting import until

SIGNUM = signal.SIGRTMIN + 7
REGISTERS = """\
import faulthandler, os, sys, time
from pathlib import Path
from celeryscope.stacks import procfs
file = os.open("open", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
faulthandler.register({signum}, file=file, all_threads=True, chain=False)
os.rename("open", f"{{os.getpid()}}-{{procfs.started(os.getpid())}}-{signum}-{{file}}.stacks")
"""
WAITS = "import time; Path = __import__('pathlib').Path; Path('ready').touch(); time.sleep(60)"
Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that answers may take its time on a busy machine."""
    monkeypatch.setattr(asking, "_ANSWER_TIMEOUT", 60.0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []

    def started(code: str) -> "subprocess.Popen[bytes]":
        (tmp_path / "ready").unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
        processes.append(process)
        until((tmp_path / "ready").exists, what="the process")
        return process

    yield started
    for process in processes:
        process.kill()
        process.wait()


def only(folder: Path) -> Registered:
    (known,) = registered(folder)
    return known


def pretend(folder: Path, pid: int, start: int, descriptor: int = 2) -> Registered:
    path = folder / f"{pid}-{start}-{SIGNUM:d}-{descriptor}.stacks"
    path.touch()
    return Registered(pid, start, SIGNUM, descriptor, path)


def test_a_process_that_registered_answers_as_often_as_it_is_asked(start: Start, tmp_path: Path) -> None:
    process = start(REGISTERS.format(signum=int(SIGNUM)) + WAITS)
    for _ in range(3):
        text = ask(only(tmp_path))
        assert text is not None
        assert len(parse(text)) == 1
    assert only(tmp_path).path.stat().st_size == 0
    assert process.poll() is None


def test_a_process_that_does_not_catch_the_signal_is_not_signalled_whatever_else_is_there(
    start: Start, tmp_path: Path
) -> None:
    code = REGISTERS.format(signum=int(SIGNUM)) + f"faulthandler.unregister({SIGNUM:d})\n" + WAITS
    process = start(code)
    assert ask(only(tmp_path)) is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)


def test_another_process_with_the_same_pid_is_not_signalled(start: Start, tmp_path: Path) -> None:
    process = start(REGISTERS.format(signum=int(SIGNUM)) + WAITS)
    known = only(tmp_path)
    assert ask(known._replace(start=known.start - 1)) is None
    assert process.poll() is None


def test_a_process_that_has_put_another_file_in_the_descriptors_place_is_not_asked(
    start: Start, tmp_path: Path
) -> None:
    start(REGISTERS.format(signum=int(SIGNUM)) + "os.dup2(os.open('other', os.O_CREAT | os.O_RDWR), file)\n" + WAITS)
    assert ask(only(tmp_path)) is None
    assert (tmp_path / "other").stat().st_size == 0


def test_a_process_that_ended_has_no_stacks(start: Start, tmp_path: Path) -> None:
    process = start(REGISTERS.format(signum=int(SIGNUM)) + WAITS)
    known = only(tmp_path)
    process.kill()
    process.wait()
    assert ask(known) is None


def test_a_process_that_stands_still_is_left_alone_after_the_first_signal(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(REGISTERS.format(signum=int(SIGNUM)) + WAITS)
    os.kill(process.pid, signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr(asking, "_ANSWER_TIMEOUT", 0.1)
        assert ask(only(tmp_path)) == ""
        patched.setattr(asking, "_answer", lambda *_: "waited again for an answer to the first signal")
        assert ask(only(tmp_path)) == ""
    os.kill(process.pid, signal.SIGCONT)
    until(lambda: not procfs.signals_of(process.pid).pending, what="the signal taken")
    until(lambda: ask(only(tmp_path)), what="an answer")


def test_files_of_processes_that_were_killed_are_swept_and_those_of_living_ones_stay(
    start: Start, tmp_path: Path
) -> None:
    process = start(REGISTERS.format(signum=int(SIGNUM)) + WAITS)
    living = only(tmp_path)
    pretend(tmp_path, process.pid, 1)
    assert len(registered(tmp_path)) == 2
    ChildStacks(tmp_path).sweep()
    assert registered(tmp_path) == [living]


def test_a_name_that_is_no_registration_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "7-x.stacks").touch()
    (tmp_path / "7-1-41.stacks").touch()
    assert registered(tmp_path) == []
    assert registered(tmp_path / "gone") == []


def test_the_first_signal_that_nobody_uses_is_taken() -> None:
    handled = signal.signal(SIGNUM, lambda *_: None)
    ignored = signal.signal(SIGNUM + 1, signal.SIG_IGN)
    try:
        assert free_signal(0) == SIGNUM + 2
        assert free_signal(SIGNUM) is None
        assert free_signal(SIGNUM + 3) == SIGNUM + 3
    finally:
        signal.signal(SIGNUM, handled)
        signal.signal(SIGNUM + 1, ignored)


def test_a_loop_is_busy_and_a_sleep_is_not(start: Start, tmp_path: Path) -> None:
    loop = start("from pathlib import Path; Path('ready').touch()\nwhile True: pass")
    sleep = start(WAITS)

    def busy(pid: int) -> procfs.Busy:
        before = procfs.times(pid, pid)
        time.sleep(0.3)
        return procfs.busy(before, procfs.times(pid, pid))

    # The time that it waits for a CPU is told when it has one again: perhaps behind the end of a look.
    until(lambda: busy(loop.pid).thread > 0.8, what="a look at a busy loop")
    until(lambda: "nanosleep" in procfs.waits_in(sleep.pid, sleep.pid), what="the kernel tells of the sleep")
    assert busy(sleep.pid).thread < 0.2
