"""What a task that runs too long is doing, told from its stack, its time on the CPU and what the kernel says."""

import re
import sysconfig
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from celeryscope import semconv
from celeryscope.stacks.frames import Frame
from celeryscope.stacks.procfs import Busy

STANDARD_LIBRARY: Final = sysconfig.get_paths()["stdlib"] + "/"
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")
_GREEN: Final = ("/gevent/", "/eventlet/", "/greenlet/")
_CELERY: Final = "/celery/app/trace.py"

_BUSY = 0.5
"""Share of the time from which on a thread is said to compute."""
_STIRS = 0.05
"""Share of the time below which a thread does nothing; in between it may compete for the interpreter's lock."""


class Verdict(NamedTuple):
    """``kind``: one of semconv's verdicts; ``where``: the place in the code, empty when it is not known."""

    kind: str
    where: str


class _Rule(NamedTuple):
    file: str
    functions: str
    """A pattern."""
    kind: str
    what: str = ""


_ANY = ".*"
_RULES: Final = (
    _Rule("/threading.py", "wait|wait_for|acquire|join|_wait_for_tstate_lock|__enter__", semconv.VERDICT_LOCK),
    _Rule("/queue.py", "get|put|join", semconv.VERDICT_LOCK),
    _Rule("/multiprocessing/connection.py", _ANY, semconv.VERDICT_IO, "pipe"),
    _Rule("/billiard/connection.py", _ANY, semconv.VERDICT_IO, "pipe"),
    _Rule("/multiprocessing/synchronize.py", _ANY, semconv.VERDICT_LOCK),
    _Rule("/subprocess.py", "wait|_wait|communicate|_communicate|_try_wait", semconv.VERDICT_IO, "process"),
    _Rule("/ssl.py", _ANY, semconv.VERDICT_IO, "ssl"),
    _Rule("/socket.py", _ANY, semconv.VERDICT_IO, "socket"),
    _Rule("/selectors.py", _ANY, semconv.VERDICT_IO, "select"),
    _Rule("/gevent/hub.py", "sleep", semconv.VERDICT_SLEEP),
    _Rule("/gevent/_hub_primitives.py", "wait_on_socket|wait_read.*|wait_write.*", semconv.VERDICT_IO, "socket"),
    _Rule("/gevent/_socket3.py", _ANY, semconv.VERDICT_IO, "socket"),
    _Rule("/gevent/_socketcommon.py", _ANY, semconv.VERDICT_IO, "socket"),
    _Rule("/gevent/ssl.py", _ANY, semconv.VERDICT_IO, "ssl"),
    _Rule("/gevent/select.py", _ANY, semconv.VERDICT_IO, "select"),
    _Rule("/gevent/subprocess.py", _ANY, semconv.VERDICT_IO, "process"),
    _Rule("/gevent/os.py", _ANY, semconv.VERDICT_IO, "file"),
    _Rule("/gevent/thread.py", "acquire|__enter__", semconv.VERDICT_LOCK),
    _Rule("/gevent/lock.py", _ANY, semconv.VERDICT_LOCK),
    _Rule("/gevent/event.py", _ANY, semconv.VERDICT_LOCK),
    _Rule("/eventlet/greenthread.py", "sleep", semconv.VERDICT_SLEEP),
    _Rule("/eventlet/green/ssl.py", _ANY, semconv.VERDICT_IO, "ssl"),
    _Rule("/eventlet/green/select.py", _ANY, semconv.VERDICT_IO, "select"),
    _Rule("/eventlet/green/subprocess.py", _ANY, semconv.VERDICT_IO, "process"),
    _Rule("/eventlet/green/socket.py", _ANY, semconv.VERDICT_IO, "socket"),
    _Rule("/eventlet/greenio/base.py", _ANY, semconv.VERDICT_IO, "socket"),
    _Rule("/eventlet/semaphore.py", _ANY, semconv.VERDICT_LOCK),
    _Rule("/eventlet/lock.py", _ANY, semconv.VERDICT_LOCK),
    _Rule("/eventlet/event.py", _ANY, semconv.VERDICT_LOCK),
    _Rule("/eventlet/queue.py", _ANY, semconv.VERDICT_LOCK),
)
"""Library code that waits, by the end of its path."""

_KERNEL: Final = (
    (re.compile("nanosleep"), semconv.VERDICT_SLEEP, ""),
    (re.compile("futex"), semconv.VERDICT_LOCK, ""),
    (re.compile("flock|locks_lock|fcntl_setlk"), semconv.VERDICT_LOCK, ""),
    (re.compile("sock|skb|sk_wait|tcp|udp|unix_|inet_|wait_woken"), semconv.VERDICT_IO, "socket"),
    (re.compile("poll|select"), semconv.VERDICT_IO, "select"),
    (re.compile("pipe"), semconv.VERDICT_IO, "pipe"),
    (re.compile("do_wait|wait4|waitid"), semconv.VERDICT_IO, "process"),
    (re.compile("folio|page|bit_wait|io_schedule|rpc|nfs|fuse|jbd2|rq_qos|ext4|xfs"), semconv.VERDICT_IO, "file"),
)
"""Functions of the kernel that a thread waits in (``wchan``), by a part of their names."""

_SOURCE: Final = (
    (re.compile(r"\bsleep\("), semconv.VERDICT_SLEEP, ""),
    (re.compile(r"\.(accept|connect|recv\w*|send|sendall|sendto)\("), semconv.VERDICT_IO, "socket"),
    (re.compile(r"\b(select|poll)\("), semconv.VERDICT_IO, "select"),
    (re.compile(r"\b(waitpid|check_call|check_output)\("), semconv.VERDICT_IO, "process"),
    (re.compile(r"\b(read|readline|readlines|write|fsync|flush)\("), semconv.VERDICT_IO, "file"),
    (re.compile(r"\.(acquire|wait|join|result)\(|^(async )?with (?!.*\bopen\()"), semconv.VERDICT_LOCK, ""),
)
"""Lines of source whose calls wait; asked only when nothing surer is known."""

_LOCKS = re.compile(r"\.(acquire|wait|join|result|get|put)\(|^(async )?with ")


def verdict(
    frames: Sequence[Frame], busy: Busy, waits_in: str, source: Callable[[Frame], str] = lambda frame: frame.source
) -> Verdict:
    """Judge the task's own stack (innermost frame first).

    ``waits_in``: the kernel's function that its thread waits in, empty when not known; ``source`` gives a frame's line.
    """
    kind, what = _kind(frames, busy, waits_in, source)
    place = _place(frames, kind)
    if place is None:
        where = f"kernel: {waits_in}" if waits_in else ""
    else:
        code = source(place)
        where = f"{place.file}:{place.line} in {place.function}" + (f": {code}" if code else "")
    return Verdict(kind, f"{what}, {where}" if what and where else where)


def _kind(frames: Sequence[Frame], busy: Busy, waits_in: str, source: Callable[[Frame], str]) -> tuple[str, str]:
    computes = busy.thread >= _BUSY or (busy.thread >= _STIRS and busy.process >= _BUSY)
    if computes:
        return semconv.VERDICT_CPU, ""
    if rule := next(filter(None, map(_rule, _waiting_part(frames))), None):
        return rule.kind, rule.what
    line = source(frames[0]) if frames else ""
    for pattern, kind, what in _KERNEL:
        if pattern.search(waits_in):
            # Threads below Python compute for this one, and it waits for them.
            delegates = kind == semconv.VERDICT_LOCK and busy.process >= _BUSY and not _LOCKS.search(line)
            return (semconv.VERDICT_CPU, "") if delegates else (kind, what)
    for pattern, kind, what in _SOURCE:
        if pattern.search(line):
            return kind, what
    return (semconv.VERDICT_CPU if busy.process >= _BUSY else semconv.VERDICT_UNKNOWN), ""


def _waiting_part(frames: Sequence[Frame]) -> Sequence[Frame]:
    """The innermost frames up to the application: what a library does there, the application waits for."""
    for number, frame in enumerate(frames):
        if not _in_library(frame) or frame.file.endswith(_CELERY):
            return frames[:number]
    return frames


def _rule(frame: Frame) -> _Rule | None:
    for rule in _RULES:
        if frame.file.endswith(rule.file) and _in_library(frame) and re.fullmatch(rule.functions, frame.function):
            return rule
    return None


def _place(frames: Sequence[Frame], kind: str) -> Frame | None:
    """The frame to name: which lock, or where in the application."""
    outside = [frame for frame in frames if not (_in_standard_library(frame) or _has_any(frame.file, _GREEN))]
    own = [frame for frame in outside if not _in_library(frame)]
    # A lock of a library is that library's, whoever came to it.
    candidates = outside if kind == semconv.VERDICT_LOCK else own or outside
    return next(iter(candidates or frames), None)


def _in_standard_library(frame: Frame) -> bool:
    inside = frame.file.startswith((STANDARD_LIBRARY, "<frozen "))
    return inside and not _has_any(frame.file, _INSTALLED)


def _in_library(frame: Frame) -> bool:
    return _in_standard_library(frame) or _has_any(frame.file, _INSTALLED)


def _has_any(text: str, parts: Sequence[str]) -> bool:
    return any(part in text for part in parts)
