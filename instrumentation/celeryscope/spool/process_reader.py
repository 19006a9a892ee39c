"""Reads one process's segments in order and keeps track of what is open in them."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from celeryscope.spool import format as frame
from celeryscope.spool.batch import Batch
from celeryscope.spool.folder import Segment
from celeryscope.spool.ledger import DROPPED_CORRUPT, DROPPED_UNWRITTEN


@dataclass(slots=True)
class Position:
    """How far a process's records were read: segment, offset in it, number of the last record.

    ``ahead`` counts records behind the position that were dropped, and counted, before they were read.
    """

    segment: int = 0
    offset: int = 0
    number: int = 0
    ahead: int = 0


class Opened(NamedTuple):
    """A span or an attempt that has begun: its OTLP/JSON record and scope."""

    payload: bytes
    scope: bytes


class ProcessReader:
    """Reads on from a position; ``open`` is what is open there, by (kind, key).

    ``closed_elsewhere`` is shared by a family's readers: attempts that a process closed without having opened them (the
    main process tells how a killed child's attempt ended).
    """

    def __init__(self, position: Position, closed_elsewhere: dict[int, None] | None = None) -> None:
        self.position = position
        self._closed_elsewhere = {} if closed_elsewhere is None else closed_elsewhere
        self.open: dict[tuple[int, int], Opened] = {}
        self.resource = b"{}"
        self._scopes: list[bytes] = []
        self._loaded = 0
        self._corrupt = False

    def read(self, segments: list[Segment], batch: Batch, budget: int, dropped: Counter[str]) -> bool:
        """Add records to the batch until it reaches ``budget`` bytes; True when all segments were read to their end.

        ``segments``: the process's, oldest first, listed before the call. Missing numbers count in ``dropped``.
        """
        for segment in segments:
            if segment.number < self.position.segment:
                continue
            if segment.number > self.position.segment:
                self.position.segment, self.position.offset = segment.number, 0
            if not self._read_segment(segment, batch, budget, dropped):
                return False
        return True

    def _read_segment(self, segment: Segment, batch: Batch, budget: int, dropped: Counter[str]) -> bool:
        start = self.position.offset if self._loaded == segment.number else 0
        if start == 0:
            self.open, self._scopes = {}, []
        try:
            with segment.path.open("rb") as file:
                file.seek(start)
                data = file.read()
        except FileNotFoundError:
            return True
        if start == 0:
            if not data.startswith(frame.MAGIC):
                self._corrupt |= bool(data)
                return True
            self._loaded = segment.number
        return self._take(data, start, batch, budget, dropped)

    def _take(self, data: bytes, base: int, batch: Batch, budget: int, dropped: Counter[str]) -> bool:
        """``data`` is the segment from offset ``base``; frames up to the position only tell what is open there."""
        at: int | None = len(frame.MAGIC) if base == 0 else 0
        while at is not None:
            try:
                for item in frame.frames(data, at, base):
                    self._note(item)
                    if item.end <= self.position.offset:
                        continue
                    if item.kind == frame.HEADER:
                        self._reach(item.number, dropped)
                    elif item.is_record:
                        self._reach(item.number - 1, dropped)
                        self.position.number, self._corrupt = item.number, False
                        batch.add(item.kind, self.resource, self._scope(item.scope), item.payload)
                    self.position.offset = item.end
                    if batch.size >= budget:
                        return False
                return True
            except frame.CorruptFrame as error:
                self._corrupt = True
                at = None if error.resume_at is None else error.resume_at - base
        self.position.offset = base + len(data)
        return True

    def _note(self, item: frame.Frame) -> None:
        if item.kind == frame.HEADER:
            self.resource = item.payload
        elif item.kind == frame.SCOPE:
            self._scopes.append(item.payload)
        elif item.kind == frame.OPEN_SPAN or item.flags & frame.OPENS:
            self.open[item.kind, item.key] = Opened(item.payload, self._scope(item.scope))
        elif item.kind == frame.SPAN:
            self.open.pop((frame.OPEN_SPAN, item.key), None)
        elif item.flags & frame.CLOSES and self.open.pop((frame.LOG, item.key), None) is None:
            self._closed_elsewhere[item.key] = None

    def _scope(self, number: int) -> bytes:
        return self._scopes[number - 1] if 0 < number <= len(self._scopes) else b"{}"

    def _reach(self, last: int, dropped: Counter[str]) -> None:
        """All records up to number ``last`` were read, or are missing now."""
        missing = max(last - self.position.number, 0)
        known = min(missing, self.position.ahead)
        self.position.ahead -= known
        missing -= known
        if missing:
            dropped[DROPPED_CORRUPT if self._corrupt else DROPPED_UNWRITTEN] += missing
        self.position.number = max(last, self.position.number)
