"""Reads one process's segments in order and keeps track of what is open in them."""

from collections import Counter
from dataclasses import dataclass

import orjson

from celeryscope.otlp import EVENTS_SCOPE, SPANS_SCOPE
from celeryscope.spool import format as frame
from celeryscope.spool.batch import Batch
from celeryscope.spool.folder import Segment
from celeryscope.spool.ledger import DROPPED_CORRUPT, DROPPED_UNWRITTEN
from celeryscope.spool.state import Start, ended


@dataclass(slots=True)
class Position:
    """How far a process's records were read: segment, offset in it, number of the last record.

    ``ahead`` counts records behind the position that were dropped, and counted, before they were read.
    """

    segment: int = 0
    offset: int = 0
    number: int = 0
    ahead: int = 0


@dataclass(slots=True)
class Opened:
    """A delivery that has begun: its start, and of OPENS and OF_SPAN what is still open."""

    start: Start
    flags: int


class ProcessReader:
    """Reads on from a position; ``open`` is what is open there, by (kind, key).

    ``closed_elsewhere`` is shared by a family's readers: attempts that a process closed without having opened them (the
    main process tells how a killed child's attempt ended).
    """

    def __init__(self, position: Position, closed_elsewhere: dict[int, None] | None = None) -> None:
        self.position = position
        self._closed_elsewhere = {} if closed_elsewhere is None else closed_elsewhere
        self.open: dict[int, Opened] = {}
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
                    new = item.end > self.position.offset
                    if item.kind >= frame.START:
                        self._take_record(item, new, batch, dropped)
                    elif item.kind == frame.HEADER:
                        self.resource = item.payload
                        if new:
                            self._reach(item.number, dropped)
                    else:
                        self._scopes.append(item.payload)
                    if new:
                        self.position.offset = item.end
                        if batch.size >= budget:
                            return False
                return True
            except frame.CorruptFrame as error:
                self._corrupt = True
                at = None if error.resume_at is None else error.resume_at - base
        self.position.offset = base + len(data)
        return True

    def _take_record(self, item: frame.Frame, new: bool, batch: Batch, dropped: Counter[str]) -> None:
        new = new and not item.flags & frame.CARRIED
        if new:
            before = item.number - item.records
            if before != self.position.number:
                self._reach(before, dropped)
            self.position.number, self._corrupt = item.number, False
        if item.kind == frame.START:
            start: Start = orjson.loads(item.payload)
            self.open[item.key] = Opened(start, item.flags & (frame.OPENS | frame.OF_SPAN))
            if new:
                batch.start(item.key, self.resource, start, len(item.payload))
            return
        opened = self._closed(item) if item.flags & (frame.CLOSES | frame.OF_SPAN) else None
        if not new:
            return
        if item.kind == frame.END:
            self._add_end(item, opened, batch, dropped)
        else:
            batch.add(item.kind, self.resource, self._scope(item.scope), item.payload)
            if item.flags & frame.CLOSES:
                batch.end(item.key)

    def _closed(self, item: frame.Frame) -> Opened | None:
        """Close what the frame closes (invariant 5 of ``format``); the delivery if it had begun here."""
        opened = self.open.get(item.key)
        if opened is None or (item.flags & frame.CLOSES and not opened.flags & frame.OPENS):
            self._closed_elsewhere[item.key] = None
        if opened is not None:
            opened.flags = frame.still_open(opened.flags, item.flags)
            if not opened.flags:
                del self.open[item.key]
        return opened

    def _add_end(self, item: frame.Frame, opened: Opened | None, batch: Batch, dropped: Counter[str]) -> None:
        if opened is None:
            # Its start was damaged on the disk.
            dropped[DROPPED_CORRUPT] += item.records
            return
        event, span = ended(opened.start, orjson.loads(item.payload))
        if event is not None:
            batch.add(frame.LOG, self.resource, EVENTS_SCOPE, event)
            batch.end(item.key)
        if span is not None:
            batch.add(frame.SPAN, self.resource, SPANS_SCOPE, span)

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
