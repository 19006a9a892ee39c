"""The reading end: one shipper reads a family's segments, in batches that it commits once they are acknowledged."""

import time
from collections import Counter
from pathlib import Path

from celeryscope.otlp import EVENTS_SCOPE, SPANS_SCOPE
from celeryscope.spool import format as frame
from celeryscope.spool import ledger, lost
from celeryscope.spool.batch import Batch
from celeryscope.spool.folder import Family, Segment, is_locked, segments
from celeryscope.spool.ledger import Ledger
from celeryscope.spool.process_reader import Position, ProcessReader

LOST_GRACE = 30.0
"""Seconds in which a living main process may say what became of a dead child's task (billiard waits 10 s itself)."""

_CLOSED_MOST = 10_000
_QUOTA_REST = 0.9


class FamilyReader:
    """Reads the segments of all processes of a family; not thread-safe.

    ``own``: the family's main process is ours, so it may yet say how a dead child's attempt ended. Positions and counts
    are saved together, so each record is counted exactly once, however often it is sent.
    """

    def __init__(self, family: Family, own: bool) -> None:
        self.family = family
        self.ledger = Ledger()
        self._own = own
        self._closed_elsewhere: dict[int, None] = {}
        self._done: set[str] = set()
        self._dead_since: dict[str, tuple[float, int]] = {}
        self._worth: dict[Path, int] = {}
        self._readers: dict[str, ProcessReader] = {}
        self._dropped: Counter[str] = Counter()
        self._superseded = 0
        self._changed = False
        self.rewind()

    def rewind(self) -> None:
        """Go back to what was last committed."""
        saved = ledger.read_json(self.family.path / ledger.CHECKPOINT)
        self.ledger = Ledger.from_dict(saved)
        self._done = set(saved.get("done", ()))
        self._readers = {
            name: ProcessReader(Position(*at), self._closed_elsewhere)
            for name, at in saved.get("positions", {}).items()
        }
        self._dropped = Counter()
        self._superseded = 0

    def read(self, budget: int, final: bool = False) -> Batch:
        """The next records, about ``budget`` bytes; empty when there is nothing new.

        ``final``: the family's main process is ending, so a dead child's attempts are closed without waiting.
        """
        batch, dead = Batch(), list[tuple[str, ProcessReader, Segment]]()
        everything = True
        for process, listed in segments(self.family.path).items():
            if process in self._done:
                continue
            reader = self._reader(process)
            alive = is_locked(listed[-1].path)
            found = listed if alive else segments(self.family.path).get(process, listed)
            at_end = reader.read(found, batch, budget, self._dropped)
            if at_end and not alive and not is_locked(found[-1].path):
                dead.append((process, reader, found[-1]))
            everything &= at_end
            if batch.size >= budget:
                everything = False
                break
        if everything:
            # Only now all is known that other processes of the family have told of the dead ones' attempts.
            for process, reader, last in dead:
                self._end_process(process, reader, last, batch, final)
        while len(self._closed_elsewhere) > _CLOSED_MOST:
            del self._closed_elsewhere[next(iter(self._closed_elsewhere))]
        batch.close()
        self._superseded = batch.superseded
        return batch

    @property
    def has_changed(self) -> bool:
        """Whether a commit has something to save although the last batch was empty."""
        return self._changed or bool(self._dropped)

    def commit(self, shipped: int, refused: int = 0) -> None:
        """All of the last batch is in safe hands or refused for ever: save that, then delete what is no longer needed.

        Raises OSError when it can't be saved; then the batch will be sent once more.
        """
        self.ledger.shipped += shipped
        self.ledger.superseded += self._superseded
        self._superseded = 0
        if refused:
            self.ledger.dropped[ledger.DROPPED_REFUSED] += refused
        self.ledger.dropped.update(self._dropped)
        self._dropped = Counter()
        self._changed = False
        self._save()
        for process, found in segments(self.family.path).items():
            reader = self._readers.get(process)
            for segment in found:
                if process in self._done or (reader and segment.number < reader.position.segment):
                    segment.path.unlink(missing_ok=True)

    def enforce_quota(self, max_bytes: int) -> int:
        """Delete segments that nobody writes any more until the rest fits; oldest first, those with failures last.

        Returns the number of records dropped; call only right after ``commit`` or ``rewind``.
        """
        found = segments(self.family.path)
        sizes = {item.path: _size(item.path) for items in found.values() for item in items}
        if sum(sizes.values()) <= max_bytes:
            return 0
        # Somewhat below, so that this is not done anew for every segment.
        excess = sum(sizes.values()) - max_bytes * _QUOTA_REST
        closed = [item for items in found.values() for item in (items[:-1] if is_locked(items[-1].path) else items)]
        # A closed segment does not change any more.
        self._worth = {
            item.path: self._worth[item.path] if item.path in self._worth else _worth(item.path) for item in closed
        }
        closed.sort(key=lambda item: (self._worth[item.path], _modified(item.path)))
        dropped = 0
        for item in closed:
            if excess <= 0:
                break
            excess -= sizes[item.path]
            dropped += self._drop(item)
        return dropped

    def pending_bytes(self) -> int:
        """Bytes behind the positions; may be called from another thread, and is then a moment old."""
        positions = {name: reader.position for name, reader in list(self._readers.items())}
        done = set(self._done)
        pending = 0
        for process, found in segments(self.family.path).items():
            if process not in done:
                at = positions.get(process, Position())
                pending += sum(
                    _size(item.path) - at.offset * (item.number == at.segment)
                    for item in found
                    if item.number >= at.segment
                )
        return pending

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to ship and nobody is left to write."""
        return all(process in self._done for process in segments(self.family.path))

    def finish(self, spool: Path) -> None:
        """Add the counts to the spool's ledger and delete the family's folder."""
        for items in segments(self.family.path).values():
            for item in items:
                item.path.unlink(missing_ok=True)
        ledger.add_to_past(spool, self.family.path.name, self.ledger)
        self.family.remove()

    def _end_process(self, process: str, reader: ProcessReader, last: Segment, batch: Batch, final: bool) -> None:
        seen = time.monotonic(), time.time_ns() if self._own else _modified(last.path)
        since, died_at = self._dead_since.setdefault(process, seen)
        unsettled = {
            key: opened
            for key, opened in reader.open.items()
            if opened.flags & frame.OPENS and key not in self._closed_elsewhere
        }
        if unsettled and self._own and not final and time.monotonic() - since < LOST_GRACE:
            return
        for opened in reader.open.values():
            if opened.flags & frame.OF_SPAN:
                batch.add(frame.SPAN, reader.resource, SPANS_SCOPE, lost.lost_span(opened.start, died_at))
        for key, opened in unsettled.items():
            batch.add(frame.LOG, reader.resource, EVENTS_SCOPE, lost.lost_event(opened.start, died_at))
            batch.end(key)
        self._done.add(process)
        self._changed = True
        self._dead_since.pop(process, None)

    def _reader(self, process: str) -> ProcessReader:
        if process not in self._readers:
            self._readers[process] = ProcessReader(Position(), self._closed_elsewhere)
        return self._readers[process]

    def _drop(self, segment: Segment) -> int:
        position = self._reader(segment.process).position
        if segment.number < position.segment:
            unread = Batch()
        else:
            offset = position.offset if segment.number == position.segment else 0
            scan = ProcessReader(Position(segment.number, offset))
            unread = Batch()
            scan.read([segment], unread, frame.MAX_PAYLOAD * 2, Counter())
        segment.path.unlink(missing_ok=True)
        position.ahead += len(unread)
        self.ledger.dropped[ledger.DROPPED_QUOTA] += len(unread)
        self._save()
        return len(unread)

    def _save(self) -> None:
        present = segments(self.family.path)
        self._done &= present.keys()
        self._readers = {name: reader for name, reader in self._readers.items() if name in present}
        positions = {
            name: [at.segment, at.offset, at.number, at.ahead]
            for name, at in ((name, reader.position) for name, reader in self._readers.items())
        }
        saved = self.ledger.as_dict() | {"positions": positions, "done": sorted(self._done)}
        ledger.write_atomically(self.family.path / ledger.CHECKPOINT, saved)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return time.time_ns()


def _worth(path: Path) -> int:
    """2: the segment tells of failures; 1: of what is still under way at its end; 0: of neither."""
    data = path.read_bytes()
    opened: dict[int, int] = {}
    try:
        for item in frame.frames(data, len(frame.MAGIC)):
            if item.flags & frame.FAILURE:
                return 2
            if item.kind == frame.START:
                opened[item.key] = item.flags
            elif item.key in opened:
                opened[item.key] = frame.still_open(opened[item.key], item.flags)
    except frame.CorruptFrame:
        return 0
    return 1 if any(flags & (frame.OPENS | frame.OF_SPAN) for flags in opened.values()) else 0
