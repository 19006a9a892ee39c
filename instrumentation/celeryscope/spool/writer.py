"""The writing end: one process appends its records to its own segments, at once."""

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from celeryscope.errors import ConfigError
from celeryscope.spool import format as frame
from celeryscope.spool.folder import segment_name
from celeryscope.spool.format import Item
from celeryscope.spool.ledger import DROPPED_MEMORY_FULL
from celeryscope.spool.memory import MemoryQueue

logger = logging.getLogger("celeryscope")

_MODE = 0o600
_CLOSES_ALL = frame.CLOSES | frame.OF_SPAN
_GO_ON_FOR = 64 * 1024
"""Bytes to go on in a full segment when the next one could not be made."""
_LOOK_AFTER = 1.0
"""Seconds between two looks whether the spool is still there, and two tries to write to one that fails."""
_TELL_AFTER = 60.0
"""Seconds between two warnings of a spool that fails again and again."""


class _Segment:
    """One segment file while it is written; locked as long as it is open."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.size = 0
        self._scopes: dict[bytes, int] = {}
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, _MODE)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    @property
    def is_deleted(self) -> bool:
        """Whether somebody has deleted the file."""
        return os.fstat(self._descriptor).st_nlink == 0

    @property
    def length(self) -> int:
        """Bytes of the file, whatever has interrupted the last ``append``."""
        return os.fstat(self._descriptor).st_size

    def append(self, data: bytes) -> None:
        """Append all or nothing. Raises OSError; then nothing may be appended any more."""
        written = os.write(self._descriptor, data)
        if written < len(data):
            # So that nobody takes the torn frame for one that a crash has cut.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += written

    def pack(self, number: int, item: Item, more_flags: int = 0) -> bytes:
        """The item's frame, behind that of its scope when the segment has none of it yet."""
        kind, flags, key, payload, scope = item
        named, before = 0, b""
        if scope:
            known = self._scopes.get(scope)
            if known is None:
                known = self._scopes[scope] = len(self._scopes) + 1
                before = frame.pack(0, frame.SCOPE, 0, known, 0, scope)
            named = known
        return before + frame.pack(number, kind, flags | more_flags, named, key, payload)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class SpoolWriter:
    """Appends frames to the process's current segment and begins the next one when it is full; thread-safe.

    What ``write`` has returned from survives the end of the process by any signal, as long as the spool can be written
    to. While it can't (full, read-only, deleted, not there yet) records wait in a bounded queue in memory, of which the
    log tells once; they are written as soon as it can, or the shipper takes them with ``take``. What had no room is
    counted: a MISSED frame tells so later on. Nothing is ever raised for a failing disk. What a destructor or a signal
    handler says while its own thread is writing is written right behind.
    """

    def __init__(
        self,
        folder: Path,
        process: str,
        resource: bytes,
        max_segment_bytes: int,
        memory_max_bytes: int = 4 * 1024 * 1024,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """``resource``: OTLP/JSON. ``prepare`` puts back a folder that is missing; it raises OSError or ConfigError."""
        self._folder = folder
        self._process = process
        self._resource = resource
        self._max_segment_bytes = max_segment_bytes
        self._prepare = prepare
        self._lock = threading.Lock()
        self._holder = 0
        self._deferred: deque[Item] = deque()
        self.open: dict[int, Item] = {}
        """START frames that were written and are not closed, or not all of them, by key; to be read only."""
        self._number = 0
        self._segments = 0
        self._limit = max_segment_bytes
        self._segment: _Segment | None = None
        self._under_way: tuple[Item, int, int] | None = None
        """What is being written, with the size of the segment and the last number before it."""
        self._memory = MemoryQueue(memory_max_bytes)
        self._missed = Counter[str]()
        self._problem: Exception | None = None
        self._look_at = 0.0
        self._missed_lately = 0
        self._told = False
        self._tell_at = 0.0
        self._recover()

    def write(self, item: Item | None = None) -> None:
        """Write what one frame holds, by one ``write()``; without an item, only look after the spool."""
        me = threading.get_ident()
        if self._holder == me:
            if item is not None:
                self._deferred.append(item)
            return
        with self._lock:
            self._holder = me
            try:
                # A task waits for this: where nothing stands in the way, the item is appended without further ado.
                if (
                    item is None
                    or self._under_way
                    or self._problem
                    or time.monotonic() >= self._look_at
                    or not self._append(item)
                ):
                    self._write(item)
                while self._deferred:
                    self._write(self._deferred.popleft())
            finally:
                self._holder = 0
        if self._told is (self._problem is None):
            self._tell()

    def log(self, payload: bytes, scope: bytes, flags: int = 0, key: int = 0) -> None:
        """Write a log record (OTLP/JSON)."""
        self.write(Item(frame.LOG, flags, key, payload, scope))

    def take(self, max_bytes: int) -> tuple[list[Item], bytes]:
        """Take about ``max_bytes`` of what waits in memory, to ship it: the items, and a segment that tells of them.

        To be followed by ``taken`` or ``put_back``.
        """
        with self._locked():
            items = self._memory.take(max_bytes)
            keys = {item.key for item in items}
            opened = [item for key, item in self.open.items() if key in keys]
            return items, _segment_of(self._resource, opened, items)

    def taken(self, items: list[Item]) -> None:
        """What ``take`` gave is in safe hands."""
        with self._locked():
            for item in items:
                if item.kind != frame.START:
                    self._note(item)

    def put_back(self, items: list[Item]) -> None:
        """What ``take`` gave could not be shipped."""
        with self._locked():
            self._miss(self._memory.put_back(items))

    @property
    def missed(self) -> Counter[str]:
        """Records that were dropped by reason, as far as no MISSED frame tells of them yet."""
        return self._missed.copy()

    def flush(self) -> None:
        """Try at once to write what waits in memory."""
        self._look_at = 0.0
        self.write()

    @property
    def waiting(self) -> int:
        """How many records wait in memory."""
        return self._memory.records

    def close(self) -> None:
        """End the last segment; what is open in it counts as lost. What waits in memory can still be taken."""
        with self._locked():
            if self._problem:
                self._recover()
            self.abandon()
            # What other threads say from now on has no place any more.
            self._look_at = float("inf")

    def abandon(self) -> None:
        """After a fork, in the child: let go of the parent's segment, whose lock the child would keep alive."""
        if self._segment:
            self._segment.close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            self._holder = threading.get_ident()
            try:
                yield
                while self._deferred:
                    self._write(self._deferred.popleft())
            finally:
                self._holder = 0

    def _write(self, item: Item | None) -> None:
        if self._under_way:
            self._settle(*self._under_way)
        now = time.monotonic()
        if now >= self._look_at:
            self._look(now)
        if item is None:
            return
        if self._problem:
            self._miss(self._memory.put(item))
        elif not self._append(item):
            self._write(item)

    def _settle(self, item: Item, size: int, number: int) -> None:
        """An exception has interrupted the last write: a soft time limit, say, which strikes wherever its task is.

        If the segment has the item, it counts as written. It is not gone on with: of what else is in it may be noted
        too much or too little.
        """
        if self._segment and self._segment.length > size:
            self._number = number + item.records
            self._note(item)
        self._under_way = None
        self._recover()

    def _look(self, now: float) -> None:
        """Whether the spool is still there; if not, or if it failed before, try again."""
        self._look_at = now + _LOOK_AFTER
        try:
            self._prepare()
            if self._segment is None or self._segment.is_deleted:
                self._problem = FileNotFoundError(errno.ENOENT, "somebody has deleted it")
        except (OSError, ConfigError) as error:
            self._problem = error
        if self._problem:
            self._recover()

    def _append(self, item: Item) -> bool:
        """Whether the item was written; if not, there is a problem."""
        segment = self._segment
        assert segment is not None
        if segment.size >= self._limit:
            segment = self._rotate(segment)
        kind, flags, key, payload, scope = item
        number = self._number + frame.records(kind, flags)
        self._under_way = item, segment.size, self._number
        try:
            segment.append(segment.pack(number, item) if scope else frame.pack(number, kind, flags, 0, key, payload))
        except OSError as error:
            self._under_way = None
            self._problem = error
            return False
        self._number = number
        if flags:
            self._note(item)
        self._under_way = None
        return True

    def _note(self, item: Item) -> None:
        """Keep what is open, for the head of the next segment (invariant 5)."""
        kind, flags, key, _, _ = item
        if kind == frame.START:
            self.open[key] = item
        elif flags & _CLOSES_ALL == _CLOSES_ALL:
            self.open.pop(key, None)
        elif opened := self.open.get(key):
            rest = frame.still_open(opened.flags, flags)
            if rest:
                self.open[key] = opened._replace(flags=rest)
            else:
                del self.open[key]

    def _miss(self, items: list[Item]) -> None:
        for item in items:
            self._missed[DROPPED_MEMORY_FULL] += item.records
            self._missed_lately += item.records
            if item.kind != frame.START:
                # Its attempt has ended, though nobody will know how: it must not be told as lost.
                self._note(item)

    def _rotate(self, previous: _Segment) -> _Segment:
        try:
            self._segment = self._begin_segment()
        except (OSError, ConfigError):
            # The full segment can still be written to; the next one is tried again a little later.
            self._limit = previous.size + _GO_ON_FOR
            return previous
        self._limit = self._max_segment_bytes
        previous.close()
        return self._segment

    def _recover(self) -> None:
        """Write what waits in memory to a new segment; if that fails, there is still a problem."""
        try:
            # Until the new one has its name, the lock of the old one says that the process lives (invariant 6).
            previous, self._segment = self._segment, self._begin_segment()
            if previous:
                previous.close()
            self._limit = self._max_segment_bytes
            if self._missed:
                self._append_missed(self._segment)
        except (OSError, ConfigError) as error:
            self._problem = error
            return
        self._problem = None
        while (item := self._memory.first()) and self._append(item):
            self._memory.pop()

    def _append_missed(self, segment: _Segment) -> None:
        number = self._number + self._missed.total()
        segment.append(frame.pack(number, frame.MISSED, 0, 0, 0, orjson.dumps(self._missed)))
        self._number = number
        self._missed = Counter()

    def _begin_segment(self) -> _Segment:
        """The next segment: locked and complete up to what is open before it gets its name (invariants 5, 6).

        Raises OSError or ConfigError when it can't be made whole; nothing is left of it then.
        """
        self._prepare()
        name = segment_name(self._process, self._segments + 1)
        hidden = self._folder / f".{name}"
        segment = _Segment(hidden)
        try:
            segment.append(frame.MAGIC + frame.pack(self._number, frame.HEADER, 0, 0, 0, self._resource))
            for item in self.open.values():
                segment.append(segment.pack(0, item, frame.CARRIED))
            hidden.rename(self._folder / name)
        except BaseException:
            segment.close()
            with contextlib.suppress(OSError):
                hidden.unlink()
            raise
        self._segments += 1
        return segment

    def _tell(self) -> None:
        """Say that the spool fails or works again; never while the lock is held, since a log line is a record, too."""
        problem, now = self._problem, time.monotonic()
        if problem is None:
            missed, self._missed_lately, self._told = self._missed_lately, 0, False
            logger.warning("celeryscope: the spool can be written to again; records lost meanwhile: %d", missed)
        elif now >= self._tell_at:
            self._told, self._tell_at = True, now + _TELL_AFTER
            most = self._memory.max_bytes
            logger.warning("celeryscope: the spool fails, up to %d bytes are kept in memory: %s", most, problem)


def _segment_of(resource: bytes, opened: list[Item], items: list[Item]) -> bytes:
    """A segment that was never on a disk."""
    scopes = {
        scope: number for number, scope in enumerate(dict.fromkeys(item.scope for item in items if item.scope), 1)
    }
    packed = [frame.MAGIC, frame.pack(0, frame.HEADER, 0, 0, 0, resource)]
    packed += [frame.pack(0, frame.SCOPE, 0, number, 0, scope) for scope, number in scopes.items()]
    packed += [frame.pack(0, kind, flags | frame.CARRIED, 0, key, payload) for kind, flags, key, payload, _ in opened]
    number = 0
    for item in items:
        number += item.records
        packed.append(frame.pack(number, item.kind, item.flags, scopes.get(item.scope, 0), item.key, item.payload))
    return b"".join(packed)
