"""Reads one process's segments in order and keeps track of what is open in them."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from celeryscope.otlp import EVENTS_SCOPE, SPANS_SCOPE
from celeryscope.spool import format as frame
from celeryscope.spool import plain, plain_sent
from celeryscope.spool.batch import Batch
from celeryscope.spool.folder import Segment
from celeryscope.spool.ledger import DROPPED_CORRUPT, DROPPED_DELETED, DROPPED_TORN, DROPPED_UNWRITTEN
from celeryscope.spool.plain import Told

_BOTH = frame.OPENS | frame.OF_SPAN
_CLOSING = frame.CLOSES | frame.OF_SPAN
_Made = tuple[bytes | None, bytes | None]
"""An event and a span, OTLP/JSON."""


@dataclass(slots=True)
class Position:
    """How far a process's records were read: segment, offset in it, number of the last record.

    ``ahead`` counts records behind the position that were dropped, and counted, before they were read.
    """

    segment: int = 0
    offset: int = 0
    number: int = 0
    ahead: int = 0


def position_before(segments: list[Segment]) -> Position:
    """Where to begin with a process's segments when no checkpoint tells: what came before them was told of in it."""
    try:
        first = next(frame.intact(segments[0].path.read_bytes()), None)
    except FileNotFoundError:
        first = None
    return Position(number=first.number - first.records if first else 0)


@dataclass(slots=True)
class Opened:
    """A delivery that has begun: its start, and of OPENS and OF_SPAN what is still open."""

    start: Told
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
        self._scopes: dict[int, bytes] = {}
        self._loaded = 0
        self._tail = b""
        self._why_missing = DROPPED_UNWRITTEN

    def read(self, segments: list[Segment], batch: Batch, budget: int, dropped: Counter[str]) -> bool:
        """Add records to the batch until it reaches ``budget`` bytes; True when all segments were read to their end.

        ``segments``: the process's, oldest first, listed before the call. Missing numbers count in ``dropped``.
        """
        if segments and 0 < self.position.segment < segments[0].number:
            self._why_missing = DROPPED_DELETED
        for segment in segments:
            if segment.number < self.position.segment:
                continue
            if segment.number > self.position.segment:
                self._begin(segment)
            if not self._read_segment(segment, batch, budget, dropped):
                return False
        return True

    def read_bytes(self, segment: bytes, batch: Batch) -> None:
        """Add all records of a segment that is not on a disk."""
        self._take(segment, 0, batch, sys.maxsize, Counter())

    def forget_end(self) -> None:
        """What stands behind the last whole frame was dropped, and counted."""
        self._tail = b""

    def end(self, dropped: Counter[str]) -> None:
        """The process is dead and all was read: count the record that it was writing, or whose end is damaged."""
        if frame.may_be_record(self._tail):
            dropped[DROPPED_TORN if frame.is_cut(self._tail) else DROPPED_CORRUPT] += 1
        self._tail = b""

    def _begin(self, segment: Segment) -> None:
        if self._tail:
            self._why_missing = DROPPED_CORRUPT
        self.position.segment, self.position.offset, self._tail = segment.number, 0, b""

    def _read_segment(self, segment: Segment, batch: Batch, budget: int, dropped: Counter[str]) -> bool:
        start = self.position.offset if self._loaded == segment.number else 0
        try:
            with segment.path.open("rb") as file:
                file.seek(start)
                data = file.read()
        except FileNotFoundError:
            self._why_missing = DROPPED_DELETED
            return True
        if start == 0:
            self.open, self._scopes, self._loaded = {}, {}, segment.number
        whole = self._take(data, start, batch, budget, dropped)
        if whole:
            self._tail = data[max(self.position.offset - start, 0) :]
        return whole

    def _take(self, data: bytes, base: int, batch: Batch, budget: int, dropped: Counter[str]) -> bool:
        """``data`` is the segment from offset ``base``; frames up to the position only tell what is open there."""
        at = len(frame.MAGIC) if base == 0 and data.startswith(frame.MAGIC) else 0
        while True:
            try:
                for item in frame.frames(data, at, base):
                    new = item.end > self.position.offset
                    if item.kind >= frame.START:
                        self._take_record(item, new, batch, dropped)
                    else:
                        self._take_other(item, new, dropped)
                    if new:
                        self.position.offset = item.end
                        if batch.size >= budget:
                            return False
                return True
            except frame.CorruptFrame as error:
                self._why_missing = DROPPED_CORRUPT
                at = error.resume_at - base

    def _take_record(self, item: frame.Frame, new: bool, batch: Batch, dropped: Counter[str]) -> None:
        number, kind, flags, scope, key, payload, _ = item
        new = new and not flags & frame.CARRIED and self._is_next(number, frame.records(kind, flags), dropped)
        if kind == frame.START:
            start: Told = orjson.loads(payload)
            self.open[key] = Opened(start, flags & _BOTH)
            if new:
                batch.start(key, self.resource, start, len(payload))
            return
        opened = self._closed(key, flags) if flags & _CLOSING else None
        if not new:
            return
        if kind == frame.END:
            self._add_end(item, opened, batch, dropped)
        elif kind == frame.SENT:
            self._add_made(item, batch, plain_sent.sent)
        else:
            batch.add(kind, self.resource, self._scopes.get(scope, b"{}"), payload)
            if flags & frame.CLOSES:
                batch.end(key)

    def _closed(self, key: int, flags: int) -> Opened | None:
        """Close what a frame closes (invariant 5 of ``format``); the delivery if it had begun here."""
        opened = self.open.get(key)
        if opened is not None and flags & _CLOSING == _CLOSING and opened.flags == _BOTH:
            # Nearly always: all of it is open, and all of it is closed.
            del self.open[key]
            return opened
        if opened is None or (flags & frame.CLOSES and not opened.flags & frame.OPENS):
            self._closed_elsewhere[key] = None
        if opened is not None:
            opened.flags = frame.still_open(opened.flags, flags)
            if not opened.flags:
                del self.open[key]
        return opened

    def _add_end(self, item: frame.Frame, opened: Opened | None, batch: Batch, dropped: Counter[str]) -> None:
        if opened is None:
            # Its start was damaged on the disk.
            dropped[DROPPED_CORRUPT] += item.records
        else:
            self._add_made(item, batch, partial(plain.ended, opened.start))

    def _add_made(self, item: frame.Frame, batch: Batch, make: Callable[[Any], _Made]) -> None:
        """Add the event and the span that ``make`` makes of the short form that a frame holds."""
        try:
            event, span = make(orjson.loads(item.payload))
        except Exception as error:  # noqa: BLE001 - one record must not hold up all others
            batch.give_up(item.records, error)
            return
        if event is not None:
            batch.add(frame.LOG, self.resource, EVENTS_SCOPE, event)
            if item.kind == frame.END:
                batch.end(item.key)
        if span is not None:
            batch.add(frame.SPAN, self.resource, SPANS_SCOPE, span)

    def _is_next(self, number: int, records: int, dropped: Counter[str]) -> bool:
        """Take the number of a frame's last record; False when it was read already."""
        position, before = self.position, number - records
        if before != position.number:
            if 0 <= before < position.number:
                # Written a second time after a failure that had left the first one there.
                return False
            self._reach(before, dropped)
        position.number, self._why_missing = number, DROPPED_UNWRITTEN
        return True

    def _take_other(self, item: frame.Frame, new: bool, dropped: Counter[str]) -> None:
        if item.kind == frame.SCOPE:
            self._scopes[item.scope] = item.payload
        elif item.kind == frame.HEADER:
            self.resource = item.payload
            if new:
                self._reach(item.number, dropped)
        elif new:
            told = Counter[str](orjson.loads(item.payload))
            self._reach(item.number - told.total(), dropped)
            dropped.update(told)
            self.position.number = item.number

    def _reach(self, last: int, dropped: Counter[str]) -> None:
        """All records up to number ``last`` were read, or are missing now."""
        missing = max(last - self.position.number, 0)
        known = min(missing, self.position.ahead)
        self.position.ahead -= known
        missing -= known
        if missing:
            dropped[self._why_missing] += missing
        self.position.number = max(last, self.position.number)
