"""The writing end: one process appends its records to its own segments, at once."""

import errno
import fcntl
import os
import threading
from collections import deque
from pathlib import Path
from typing import NamedTuple

from celeryscope.spool import format as frame
from celeryscope.spool.folder import segment_name

_MODE = 0o600
_BOTH = frame.CLOSES | frame.OF_SPAN
_RETRY_AFTER = 64 * 1024
"""Bytes to go on in a full segment when the next one could not be made."""


class Item(NamedTuple):
    """What is written as one frame."""

    kind: int
    """START, SPAN, LOG or END of ``format``."""
    flags: int
    key: int
    """The delivery that it opens or closes, else 0."""
    payload: bytes
    scope: bytes
    """OTLP/JSON of its ``InstrumentationScope``; empty for START and END."""


class _Segment:
    """One segment file while it is written; locked as long as it is open."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.size = 0
        self._scopes: dict[bytes, int] = {}
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, _MODE)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def append(self, data: bytes) -> bool:
        """Whether all of it was written; if not, none of it is there."""
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            return False
        if written < len(data):
            # A torn frame in the middle would cost all behind it.
            os.ftruncate(self._descriptor, self.size)
            return False
        self.size += written
        return True

    def scope(self, scope: bytes) -> int:
        """The scope's number in this segment; 0, which stands for none, when it can't be written."""
        number = self._scopes.get(scope)
        if number is None:
            if not self.append(frame.pack(0, frame.SCOPE, 0, 0, 0, scope)):
                return 0
            number = self._scopes[scope] = len(self._scopes) + 1
        return number

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class SpoolWriter:
    """Appends frames to the process's current segment and begins the next one when it is full; thread-safe.

    What a method has returned from survives the end of the process by any signal. A record that can't be written (full
    disk) is lost, but its number is used up, so that the reader counts it; nothing is raised for it. What a destructor
    or a signal handler says while its own thread is writing is written right behind.
    """

    def __init__(self, folder: Path, process: str, resource: bytes, max_segment_bytes: int) -> None:
        """``resource``: OTLP/JSON. Raises OSError when the folder can't be written to."""
        self._folder = folder
        self._process = process
        self._resource = resource
        self._max_segment_bytes = max_segment_bytes
        self._lock = threading.Lock()
        self._holder = 0
        self._deferred: deque[tuple[Item, ...]] = deque()
        self._open: dict[int, Item] = {}
        self._number = 0
        self._segments = 0
        self._limit = max_segment_bytes
        self._segment = self._begin_segment()

    def write(self, *items: Item) -> None:
        """Write records, all by one ``write()``."""
        me = threading.get_ident()
        if self._holder == me:
            self._deferred.append(items)
            return
        with self._lock:
            self._holder = me
            try:
                self._write(items)
                while self._deferred:
                    self._write(self._deferred.popleft())
            finally:
                self._holder = 0

    def log(self, payload: bytes, scope: bytes, flags: int = 0, key: int = 0) -> None:
        """Write a log record (OTLP/JSON)."""
        self.write(Item(frame.LOG, flags, key, payload, scope))

    def close(self) -> None:
        """End the last segment; open spans and attempts in it count as lost with the process."""
        with self._lock:
            self.abandon()

    def abandon(self) -> None:
        """After a fork, in the child: let go of the parent's segment, whose lock the child would keep alive."""
        self._segment.close()

    def is_open(self, key: int) -> bool:
        """Whether the START frame of the delivery ``key`` was written and not all of it is closed."""
        return key in self._open

    def _write(self, items: tuple[Item, ...]) -> None:
        if self._segment.size >= self._limit:
            self._rotate()
        segment, packed = self._segment, []
        for kind, flags, key, payload, scope in items:
            self._number += 1
            if kind == frame.END and flags & _BOTH == _BOTH:
                self._number += 1
            packed.append(frame.pack(self._number, kind, flags, segment.scope(scope) if scope else 0, key, payload))
        if segment.append(b"".join(packed)):
            for item in items:
                if item.flags:
                    self._note(item)

    def _note(self, item: Item) -> None:
        """Keep what is open, for the head of the next segment (invariant 5)."""
        if item.kind == frame.START:
            self._open[item.key] = item
        elif opened := self._open.get(item.key):
            rest = frame.still_open(opened.flags, item.flags)
            if rest:
                self._open[item.key] = opened._replace(flags=rest)
            else:
                del self._open[item.key]

    def _rotate(self) -> None:
        try:
            previous, self._segment = self._segment, self._begin_segment()
        except OSError:
            # The full segment can still be written to; the next one is tried again a little later.
            self._limit = self._segment.size + _RETRY_AFTER
            return
        self._limit = self._max_segment_bytes
        previous.close()

    def _begin_segment(self) -> _Segment:
        """The next segment: locked and complete up to what is open before it gets its name (invariants 5, 6).

        Raises OSError when it can't be made whole; nothing is left of it then.
        """
        name = segment_name(self._process, self._segments + 1)
        hidden = self._folder / f".{name}"
        segment = _Segment(hidden)
        try:
            whole = segment.append(frame.MAGIC + frame.pack(self._number, frame.HEADER, 0, 0, 0, self._resource))
            for kind, flags, key, payload, scope in self._open.values():
                number = segment.scope(scope) if scope else 0
                whole &= segment.append(frame.pack(0, kind, flags | frame.CARRIED, number, key, payload))
            if not whole:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - undone right below
            hidden.rename(self._folder / name)
        except BaseException:
            segment.close()
            hidden.unlink(missing_ok=True)
            raise
        self._segments += 1
        return segment
