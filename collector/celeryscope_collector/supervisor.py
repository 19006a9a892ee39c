"""Several worker processes of one collector, forked from this one, which takes no requests itself.

They share the ports (SO_REUSEPORT: the kernel spreads connections), the limits of tenants and the metrics. Each has its
own connection to Kafka and its own bytes in flight. One that ends is started again. A worker outlives this process by
no more than its drain.

This process has one thread and waits for signals, which are blocked and taken one by one, so none comes in between.
"""

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

import structlog

from celeryscope.errors import CeleryscopeError, ConfigError, Unavailable
from celeryscope.service.kafka import KafkaSettings
from celeryscope_collector.settings import CollectorSettings

_SIGNALS: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_RESTART_SECONDS: Final = 5.0
"""A worker that ends at once is started again this long after its last start."""

_PR_SET_PDEATHSIG: Final = 1
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""By this variable Prometheus' library knows where processes share their metrics."""

_log = structlog.get_logger(__name__)


def supervise(settings: CollectorSettings, kafka: KafkaSettings, announce: Callable[[str], object]) -> None:
    """Run ``settings.workers`` processes until SIGTERM or SIGINT, which they get too, as SIGHUP; return when all ended.

    ``announce`` is called once with the line that tells where they listen. Raises ConfigError when they can't start,
    Unavailable when they had to be killed because they did not drain in time.
    """
    with TemporaryDirectory(prefix="celeryscope-collector-") as name:
        folder = Path(name)
        (folder / "metrics").mkdir()
        # Looked at when the library is imported: nothing above does that.
        os.environ[METRICS_FOLDER] = str(folder / "metrics")
        reserved, settings = _reserve_ports(settings)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            _Supervisor(settings, kafka, folder).run(announce)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for port in reserved:
                port.close()


class _Supervisor:
    def __init__(self, settings: CollectorSettings, kafka: KafkaSettings, folder: Path) -> None:
        # Imported once, here, for all workers.
        from celeryscope_collector.metrics import Metrics
        from celeryscope_collector.service import serve

        self._settings = settings
        self._kafka = kafka
        self._folder = folder
        self._serve = serve
        self._metrics = Metrics()
        self._started: dict[int, float] = {}
        self._due: list[float] = []
        self._deadline: float | None = None

    def run(self, announce: Callable[[str], object]) -> None:
        """Until the last worker has ended."""
        announce(self._start_first())
        self._due = [time.monotonic()] * (self._settings.workers - 1)
        while self._started or self._due:
            self._start_due()
            taken = signal.sigtimedwait(_SIGNALS, 0.5 if self._due or self._deadline else 60.0)
            if taken is not None:
                self._signalled(signal.Signals(taken.si_signo))
            self._reap()
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._kill()

    def _start_first(self) -> str:
        # It tells whether the settings work, before there are others.
        reading, writing = os.pipe()
        with os.fdopen(reading) as told:
            self._fork(lambda text: os.write(writing, f"{text}\n".encode()))
            os.close(writing)
            text = told.readline()
            if text.startswith("collector listens"):
                return f"{text.rstrip()}, {self._settings.workers} processes"
            # What is wrong may be more than a line; it has ended when there is no more.
            text += told.read()
        self._started.clear()
        raise ConfigError(text.rstrip() or "the first worker process ended while it started; its log tells why")

    def _start_due(self) -> None:
        now = time.monotonic()
        ready = [due for due in self._due if due <= now]
        self._due = [due for due in self._due if due > now]
        for _ in ready:
            self._fork(lambda text: _log.info("a worker process", says=text))

    def _fork(self, tell: Callable[[str], object]) -> None:
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._work(supervisor, tell)
        self._started[pid] = time.monotonic()

    def _work(self, supervisor: int, tell: Callable[[str], object]) -> NoReturn:
        code = 1
        try:
            _end_with(supervisor)
            # What a terminal sends to a group would come twice: from the terminal, and from the supervisor.
            os.setpgid(0, 0)
            # The service's own handlers come later; to read the tokens again is then too early anyway.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._serve(self._settings, self._kafka, tell, self._folder)
            code = 0
        except CeleryscopeError as error:
            tell(str(error))
            code = error.exit_code
        except BaseException:  # noqa: BLE001
            _log.exception("a worker process failed: this is a bug")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # Not exit(): what the supervisor would do at its end is not the worker's.
            os._exit(code)

    def _signalled(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            return
        if number != signal.SIGHUP and self._deadline is None:
            timeouts = self._settings.drain_timeout + 1.5 * self._settings.kafka_timeout
            self._deadline = time.monotonic() + timeouts + 5
            self._due = []
        for pid in self._started:
            os.kill(pid, number)

    def _reap(self) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        while self._started:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            started = self._started.pop(pid)
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
            if self._deadline is None:
                self._metrics.process_restarts.inc()
                ended = os.waitstatus_to_exitcode(status)
                _log.error("a worker process ended by itself and is started again", process=pid, status=ended)
                self._due.append(started + _RESTART_SECONDS)

    def _kill(self) -> None:
        for pid in self._started:
            os.kill(pid, signal.SIGKILL)
        for pid in list(self._started):
            os.waitpid(pid, 0)
            del self._started[pid]
        raise Unavailable("the worker processes did not drain in time and were killed; senders keep their data")


def _end_with(supervisor: int) -> None:
    """Let this process get SIGTERM when its parent ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:
        os._exit(0)


def _reserve_ports(settings: CollectorSettings) -> tuple[list[socket.socket], CollectorSettings]:
    """Sockets that hold our ports while workers come and go, and settings that name these."""
    http, port = _reserved(settings.host, settings.port)
    if not settings.grpc:
        return [http], settings.model_copy(update={"port": port})
    wanted = settings.grpc_port
    if wanted is None:
        wanted = 4317 if settings.port else 0
    grpc, grpc_port = _reserved(settings.host, wanted)
    return [http, grpc], settings.model_copy(update={"port": port, "grpc_port": grpc_port})


def _reserved(host: str, port: int) -> tuple[socket.socket, int]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without sharing, which would let us listen beside another collector.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        held = socket.socket(family, kind, protocol)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError as error:
        raise ConfigError(
            f"can't listen on {host}:{port}: {error.strerror}; choose another --host, --port or --grpc-port"
        ) from None
    return held, held.getsockname()[1]
