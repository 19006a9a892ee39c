"""A server process: start it until it is ready, find it again, stop or kill it with everything it started.

Invariants of a server's folder: ``<name>.log`` is what the server printed; ``<name>.pid`` holds pid, start time and
port of the process that was started last, and is removed when it was stopped. The start time tells a process from a
later one with the same pid.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil

from celeryscope.errors import CeleryscopeError, ConfigError, Unavailable

LOOPBACK = "127.0.0.1"
_POLL = 0.1
_LOG_TAIL = 15
_waits: dict[str, str] = {}
_given: set[int] = set()


class Server(ABC):
    """One server on loopback; a sub-class says how it is prepared, started and asked whether it is ready."""

    name: ClassVar[str]

    def __init__(self, folder: Path, port: int | None = None, *, detached: bool = False) -> None:
        """Files go into ``folder``; without a port, a free one is taken, once, so that a restart keeps it.

        A detached server outlives the process that starts it.
        """
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.detached = detached
        self.log = self.folder / f"{self.name}.log"
        self._pid_file = self.folder / f"{self.name}.pid"
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self.port = port or self._recorded().get("port") or free_port()

    @abstractmethod
    def prepare(self) -> None:
        """Download and configure whatever the server needs; may be called again before each start."""

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, Any]]:
        """The command line and further arguments of ``subprocess.Popen``."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server answers as it will for its clients; an exception means no."""

    def storage(self) -> list[Path]:
        """The folders that hold the server's data."""
        return []

    def start(self, timeout: float = 180) -> None:
        """Start the server and return when it is really ready; nothing happens when it already is.

        Raises Unavailable, with the end of its log, when it ends or isn't ready in ``timeout`` seconds (a first
        download not counted); it's stopped then.
        """
        if not self.alive:
            self.prepare()
            self._refuse_taken_port()
            self._launch()
        try:
            self._wait_until_ready(timeout)
        except BaseException:
            self.kill()
            raise
        finally:
            say("", self.name)

    def stop(self, timeout: float = 90) -> None:
        """Ask the server to end, wait for it, and kill it when it has not ended after ``timeout`` seconds."""
        process = self._process()
        if process is not None:
            # A process that ended in between is what we want.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
            deadline = time.monotonic() + timeout
            while self.alive and time.monotonic() < deadline:
                time.sleep(_POLL / 2)
        self.kill()

    def kill(self) -> None:
        """End the server and its children at once with SIGKILL; its files stay, so it can be started again."""
        process = self._process()
        if process is not None:
            # Elasticsearch is a launcher with the server as its child; both hold the process group of the launcher.
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                family = process.children(recursive=True)
                os.killpg(process.pid, signal.SIGKILL)
                psutil.wait_procs(family if self._child else [process, *family], timeout=10)
        if self._child is not None:
            self._child.wait()
            self._child = None
        self._dismiss_watchdog()
        self._pid_file.unlink(missing_ok=True)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to all that it has started; nothing happens when it has ended."""
        process = self._process()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def discard(self) -> None:
        """Stop the server for good and delete its data; what it printed stays."""
        self.stop()
        for folder in self.storage():
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def alive(self) -> bool:
        """Whether the process runs, whoever started it."""
        return self._process() is not None

    def tail(self, lines: int = _LOG_TAIL) -> str:
        """The last lines of what the server printed."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Discard the server."""
        self.discard()

    def _launch(self) -> None:
        arguments, options = self.command()
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options
            )
        # That of a process that has ended by itself.
        self._dismiss_watchdog()
        if not self.detached:
            self._watchdog = _watch(self._child.pid)
        started = psutil.Process(self._child.pid).create_time()
        self._pid_file.write_text(json.dumps({"pid": self._child.pid, "started": started, "port": self.port}))

    def _wait_until_ready(self, timeout: float) -> None:
        begin = time.monotonic()
        while not self._answers():
            elapsed = time.monotonic() - begin
            if not self.alive:
                raise Unavailable(f"{self.name} ended while it started; the end of {self.log}:\n{self.tail()}")
            if elapsed > timeout:
                raise Unavailable(f"{self.name} wasn't ready after {timeout:.0f} s; {self.log}:\n{self.tail()}")
            say(f"{self.name}: starting, {elapsed:.0f} s", self.name)
            time.sleep(_POLL)

    def _answers(self) -> bool:
        # While a server boots, its clients fail in every way a network knows.
        try:
            return self.ready()
        except CeleryscopeError:
            raise
        except Exception:  # noqa: BLE001
            return False

    def _refuse_taken_port(self) -> None:
        if not _is_free(self.port):
            raise ConfigError(f"{self.name} needs port {self.port}, which another process uses: end that one first.")

    def _recorded(self) -> dict[str, Any]:
        try:
            recorded: dict[str, Any] = json.loads(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return recorded

    def _process(self) -> psutil.Process | None:
        if self._child is not None:
            # Ours until we have waited for it, whatever time a clock that is put right says it started at.
            return psutil.Process(self._child.pid) if self._child.poll() is None else None
        recorded = self._recorded()
        with contextlib.suppress(psutil.NoSuchProcess, KeyError):
            process = psutil.Process(recorded["pid"])
            if process.create_time() == recorded["started"] and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def _dismiss_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None


def _watch(pid: int) -> subprocess.Popen[bytes]:
    """Start a process that kills the process group ``pid`` when this Python process is gone.

    It waits for the end of a pipe that only we hold. PR_SET_PDEATHSIG would not do: it fires when the thread ends that
    started the server, and servers are started in parallel by threads.
    """
    script = 'read -r _; kill -9 "-$1"'
    return subprocess.Popen(
        ["/bin/sh", "-c", script, "celeryscope-watchdog", str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def free_port() -> int:
    """A loopback port that is free now.

    It lies below the range the kernel gives to outgoing connections, so that none of these takes it while the server
    is down for a restart. This process gets no port twice: the one who asked first may not listen on it yet.
    """
    ports = range(15_000, 29_000)
    for port in random.sample(ports, 200):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise Unavailable(f"No free port among {ports.start} to {ports.stop} on {LOOPBACK}.")


def say(text: str, about: str = "") -> None:
    """Show on a terminal's last line what is being waited for; an empty text ends it.

    Waits under different names, e.g. of threads, stand side by side.
    """
    if not sys.stderr.isatty():
        return
    if text:
        _waits[about] = text
    else:
        _waits.pop(about, None)
    line = " · ".join(_waits.copy().values())[: shutil.get_terminal_size().columns - 1]
    sys.stderr.write(f"\r\033[K{line}")
    sys.stderr.flush()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port with connections of a past server in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
