"""The writing end: one process appends its records to its own segments, at once."""

import fcntl
import os
import threading
from pathlib import Path

from celeryscope.spool import format as frame
from celeryscope.spool.folder import segment_name

_MODE = 0o600


class SpoolWriter:
    """Appends frames to the process's current segment and begins the next one when it is full; thread-safe.

    What a method has returned from survives the end of the process by any signal. A record that can't be written (full
    disk) is lost, but its number is used up, so that the reader counts it; nothing is raised for it.
    """

    def __init__(self, folder: Path, process: str, resource: bytes, max_segment_bytes: int) -> None:
        """``resource``: OTLP/JSON. Raises OSError when the folder can't be written to."""
        self._folder = folder
        self._process = process
        self._resource = resource
        self._max_segment_bytes = max_segment_bytes
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], tuple[int, bytes, bytes]] = {}
        self._number = 0
        self._segment = 0
        self._descriptor = -1
        self._begin_segment()

    @property
    def written(self) -> int:
        """Records of this process so far."""
        return self._number

    def log(self, payload: bytes, scope: bytes, flags: int = 0, key: int = 0) -> None:
        """Write a log record (OTLP/JSON); ``flags`` of ``format``, ``key`` the delivery it opens or closes."""
        with self._lock:
            if flags & frame.OPENS:
                self._open[frame.LOG, key] = (flags, payload, scope)
            elif flags & frame.CLOSES:
                self._open.pop((frame.LOG, key), None)
            self._record(frame.LOG, flags, key, payload, scope)

    def span(self, payload: bytes, scope: bytes, key: int) -> None:
        """Write a span that ended; ``key`` is its id."""
        with self._lock:
            self._open.pop((frame.OPEN_SPAN, key), None)
            self._record(frame.SPAN, 0, key, payload, scope)

    def open_span(self, payload: bytes, scope: bytes, key: int) -> None:
        """Write a span that has begun, so that it isn't lost with the process."""
        with self._lock:
            self._open[frame.OPEN_SPAN, key] = (0, payload, scope)
            self._append(frame.pack(0, frame.OPEN_SPAN, 0, self._scope(scope), key, payload))

    def close(self) -> None:
        """End the last segment; open spans and attempts in it count as lost with the process."""
        with self._lock:
            self.abandon()

    def abandon(self) -> None:
        """After a fork, in the child: let go of the parent's segment, whose lock the child would keep alive."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _record(self, kind: int, flags: int, key: int, payload: bytes, scope: bytes) -> None:
        if self._size >= self._max_segment_bytes:
            self._begin_segment()
        self._number += 1
        self._append(frame.pack(self._number, kind, flags, self._scope(scope), key, payload))

    def _scope(self, scope: bytes) -> int:
        number = self._scopes.get(scope)
        if number is None:
            number = self._scopes[scope] = len(self._scopes) + 1
            self._append(frame.pack(0, frame.SCOPE, 0, 0, 0, scope))
        return number

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            written = 0
        if written == len(data):
            self._size += written
        elif written:
            # A torn frame in the middle would cost all behind it.
            os.ftruncate(self._descriptor, self._size)

    def _begin_segment(self) -> None:
        """Make the next segment: locked and complete up to what is open before it gets its name (invariants 5, 6)."""
        name = segment_name(self._process, self._segment + 1)
        hidden = self._folder / f".{name}"
        previous, self._descriptor = (
            self._descriptor,
            os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, _MODE),
        )
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._segment += 1
        self._size = 0
        self._scopes: dict[bytes, int] = {}
        self._append(frame.MAGIC + frame.pack(self._number, frame.HEADER, 0, 0, 0, self._resource))
        for (kind, key), (flags, payload, scope) in self._open.items():
            self._append(frame.pack(0, kind, flags | frame.CARRIED, self._scope(scope), key, payload))
        hidden.rename(self._folder / name)
        if previous >= 0:
            os.close(previous)
