"""The reading end: one shipper reads a family's segments, in batches that it commits once they are acknowledged."""

import contextlib
import time
from collections import Counter
from pathlib import Path

import orjson

from celeryscope.otlp import EVENTS_SCOPE, SPANS_SCOPE
from celeryscope.spool import format as frame
from celeryscope.spool import ledger, lost, plain
from celeryscope.spool.batch import Batch
from celeryscope.spool.folder import Family, Segment, is_locked, segments
from celeryscope.spool.format import Item
from celeryscope.spool.ledger import Ledger
from celeryscope.spool.process_reader import Position, ProcessReader, position_before

LOST_GRACE = 30.0
"""Seconds in which a living main process may say what became of a dead child's task (billiard waits 10 s itself)."""

_CLOSED_MOST = 10_000
_QUOTA_REST = 0.9


class _Sweep:
    """One look at all processes of a family, in as many batches as it takes; not begun anew for each batch."""

    def __init__(self, main_lives: bool, final: bool) -> None:
        self.began = time.monotonic()
        self.main_lives = main_lives
        self.final = final
        self.unread: list[str] = []
        self.dead: dict[str, Segment] = {}
        """Processes that were dead before their segments were listed, with the last of these."""


class FamilyReader:
    """Reads the segments of all processes of a family; not thread-safe.

    Positions and counts are saved together, so each record is counted exactly once, however often it is sent. They are
    kept in memory as well: what somebody deletes is missed and counted, and while they can't be saved (full disk) the
    shipping goes on. Then a crash lets the next shipper send once more what was sent since.
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        self.ledger = Ledger()
        self._saved = ledger.read_json(family.path / ledger.CHECKPOINT)
        self._closed_elsewhere: dict[int, None] = {}
        self._closed: dict[int, int] = {}
        self._listed: dict[str, list[Segment]] = {}
        self._dead: dict[str, tuple[int, float, int]] = {}
        self._worth: dict[Path, int] = {}
        self._unsaved = False
        self.rewind()

    def rewind(self) -> None:
        """Go back to what was last committed."""
        self.ledger = Ledger.from_dict(self._saved)
        self._done: dict[str, int] = dict(self._saved.get("done", {}))
        self._readers = {
            name: ProcessReader(Position(*at), self._closed_elsewhere)
            for name, at in self._saved.get("positions", {}).items()
        }
        self._sweep: _Sweep | None = None
        self._read: set[str] = set()
        self._dropped = Counter[str]()
        self._superseded = 0
        self._changed = False

    def read(self, budget: int, final: bool = False) -> Batch:
        """The next records, about ``budget`` bytes; empty when there is nothing new.

        ``final``: the family's main process is ending, so a dead child's attempts are closed without waiting.
        """
        batch = Batch()
        if self._sweep and (self._sweep.final or not final):
            self._read_on(self._sweep, batch, budget)
        if not len(batch):
            self._sweep = self._begin_sweep(final)
            self._read_on(self._sweep, batch, budget)
        while len(self._closed_elsewhere) > _CLOSED_MOST:
            del self._closed_elsewhere[next(iter(self._closed_elsewhere))]
        batch.close()
        self._superseded = batch.superseded
        if batch.unreadable:
            self._dropped[ledger.DROPPED_UNREADABLE] += batch.unreadable
        return batch

    @property
    def has_changed(self) -> bool:
        """Whether a commit has something to save although the last batch was empty."""
        return self._changed or self._unsaved or bool(self._dropped)

    @property
    def has_more(self) -> bool:
        """Whether the budget of the last batch left out something of what there was when it was begun."""
        return self._sweep is not None

    def commit(self, shipped: int, refused: int = 0) -> None:
        """All of the last batch is in safe hands or refused for ever: save that and delete what is no longer needed."""
        self.ledger.shipped += shipped
        self.ledger.superseded += self._superseded
        self._superseded = 0
        if refused:
            self.ledger.dropped[ledger.DROPPED_REFUSED] += refused
        self.ledger.dropped.update(self._dropped)
        self._dropped = Counter()
        self._changed = False
        self._save()
        for process in self._read:
            self._delete_read(process)
        self._read.clear()
        if self._unsaved:
            # A full disk may have room now.
            self._save()

    def count(self, batch: Batch, refused: int) -> None:
        """Count a batch that was sent, of records that never were in the family's spool."""
        self.ledger.shipped += len(batch) - refused
        self.ledger.superseded += batch.superseded
        for reason, count in ((ledger.DROPPED_REFUSED, refused), (ledger.DROPPED_UNREADABLE, batch.unreadable)):
            if count:
                self.ledger.dropped[reason] += count
        self._saved = self._saved | self.ledger.as_dict()
        self._changed = True

    def close(self, items: list[Item]) -> None:
        """What these close was told without the spool: whoever began it there has not lost it."""
        for item in items:
            if item.kind != frame.START and item.flags & (frame.CLOSES | frame.OF_SPAN):
                self._closed[item.key] = self._closed.get(item.key, 0) | item.flags
        while len(self._closed) > _CLOSED_MOST:
            del self._closed[next(iter(self._closed))]

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
        modified = _times(closed)
        closed.sort(key=lambda item: (self._worth[item.path], modified[item.path]))
        dropped = 0
        for item in closed:
            if excess <= 0:
                break
            excess -= sizes[item.path]
            dropped += self._drop(item, found[item.process])
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
        """Whether nothing is left to ship and nobody is left to write; the main process itself asks at its end."""
        # In this order: a main process that is dead can't have begun anything since.
        return (self.family.is_main or not self.family.main_is_alive) and all(
            self._done.get(process, 0) >= listed[-1].number for process, listed in segments(self.family.path).items()
        )

    def finish(self) -> None:
        """Add the counts to the spool's ledger and delete the family's folder; on a failing disk others may do so."""
        for listed in segments(self.family.path).values():
            for item in listed:
                _unlink(item.path)
        try:
            if self.family.path.parent.is_dir():
                ledger.add_to_past(self.family.path.parent, self.family.path.name, self.ledger)
            self.family.remove()
        except OSError:
            self.family.release()

    def _begin_sweep(self, final: bool) -> _Sweep:
        # In this order: what a dead main process has told of its children was told before their segments are listed.
        sweep = _Sweep(self.family.main_is_alive, final)
        listed = segments(self.family.path)
        if any(process not in self._dead and not is_locked(found[-1].path) for process, found in listed.items()):
            # It may have begun its next segment while this one was asked for.
            listed = segments(self.family.path)
        for process, found in listed.items():
            last = found[-1].number
            if self._dead.get(process, (last,))[0] < last or self._done.get(process, last) < last:
                # Not dead after all: somebody had deleted the segment whose lock told that it lives.
                self._dead.pop(process, None)
                self._done.pop(process, None)
            if process not in self._dead and not is_locked(found[-1].path):
                self._dead[process] = (last, time.monotonic(), time.time_ns())
            if process in self._done:
                # Whoever read it was interrupted before it had deleted it.
                self._read.add(process)
                self._changed = True
                continue
            sweep.unread.append(process)
            if process in self._dead:
                sweep.dead[process] = found[-1]
        self._listed = listed
        self._dead = {process: since for process, since in self._dead.items() if process in listed}
        self._done = {process: last for process, last in self._done.items() if process in listed}
        return sweep

    def _read_on(self, sweep: _Sweep, batch: Batch, budget: int) -> None:
        while sweep.unread and batch.size < budget:
            process = sweep.unread[-1]
            self._read.add(process)
            listed = self._listed[process]
            if self._reader(process, listed).read(listed, batch, budget, self._dropped):
                sweep.unread.pop()
        if not sweep.unread:
            # Only now all is known that other processes of the family have told of the dead ones' attempts.
            for process, last in sweep.dead.items():
                self._end_process(process, last, sweep, batch)
            self._sweep = None

    def _end_process(self, process: str, last: Segment, sweep: _Sweep, batch: Batch) -> None:
        _, since, noticed_at = self._dead[process]
        reader = self._reader(process, self._listed[process])
        still_open = {
            key: (opened.start, frame.still_open(opened.flags, self._closed.get(key, 0)))
            for key, opened in reader.open.items()
        }
        unsettled = {
            key: start
            for key, (start, flags) in still_open.items()
            if flags & frame.OPENS and key not in self._closed_elsewhere
        }
        if unsettled and sweep.main_lives and not sweep.final and sweep.began - since < LOST_GRACE:
            return
        died_at = noticed_at if sweep.main_lives else _modified(last.path)
        for key, (told, flags) in still_open.items():
            try:
                start = plain.start_of(told)
                span = lost.lost_span(start, died_at) if flags & frame.OF_SPAN else None
                event = lost.lost_event(start, died_at) if key in unsettled else None
            except Exception as error:  # noqa: BLE001 - one record must not hold up all others
                # None of these was ever written, so none of them is missed.
                batch.give_up(0, error)
                continue
            if span is not None:
                batch.add(frame.SPAN, reader.resource, SPANS_SCOPE, span)
            if event is not None:
                batch.add(frame.LOG, reader.resource, EVENTS_SCOPE, event)
                batch.end(key)
        reader.end(self._dropped)
        self._done[process] = last.number
        self._changed = True

    def _delete_read(self, process: str) -> None:
        listed = self._listed.get(process, [])
        reader = self._readers.get(process)
        last = self._done.get(process, reader.position.segment - 1 if reader else 0)
        count = 0
        for segment in listed:
            if segment.number > last:
                break
            _unlink(segment.path)
            count += 1
        del listed[:count]
        if process in self._done:
            self._readers.pop(process, None)

    def _reader(self, process: str, listed: list[Segment]) -> ProcessReader:
        if process not in self._readers:
            known = self._saved or self.family.is_main
            position = Position() if known else position_before(listed)
            self._readers[process] = ProcessReader(position, self._closed_elsewhere)
        return self._readers[process]

    def _drop(self, segment: Segment, listed: list[Segment]) -> int:
        reader = self._reader(segment.process, listed)
        position, dropped = reader.position, Counter[str]()
        if segment.number >= position.segment:
            offset = position.offset if segment.number == position.segment else 0
            tail = _count_unread(segment.path, offset, dropped)
            position.ahead += dropped.total()
            if segment == listed[-1]:
                reader.forget_end()
                dropped[ledger.DROPPED_TORN] += frame.may_be_record(tail)
        _unlink(segment.path)
        self.ledger.dropped.update(+dropped)
        self._save()
        return dropped.total()

    def _save(self) -> None:
        positions = {
            name: [at.segment, at.offset, at.number, at.ahead]
            for name, at in ((name, reader.position) for name, reader in self._readers.items())
            if name not in self._done
        }
        saved = self.ledger.as_dict() | {"positions": positions, "done": dict(self._done)}
        self._saved = saved
        try:
            ledger.write_atomically(self.family.path / ledger.CHECKPOINT, saved)
        except OSError:
            self._unsaved = True
        else:
            self._unsaved = False


def _unlink(path: Path) -> None:
    """Delete a segment; on a disk that has become read-only it stays, and is read again by the next shipper."""
    with contextlib.suppress(OSError):
        path.unlink()


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


def _times(closed: list[Segment]) -> dict[Path, int]:
    """When each was last written to; never before an earlier segment of its process, whatever the clock has done."""
    times: dict[Path, int] = {}
    latest: dict[str, int] = {}
    for item in closed:
        times[item.path] = latest[item.process] = max(latest.get(item.process, 0), _modified(item.path))
    return times


def _count_unread(path: Path, offset: int, dropped: Counter[str]) -> bytes:
    """Count what a segment tells of behind an offset as dropped; returns what stands behind the last whole frame."""
    data, end = path.read_bytes(), offset
    for item in frame.intact(data):
        if item.end > offset:
            end = item.end
            if item.is_record:
                dropped[ledger.DROPPED_QUOTA] += item.records
            elif item.kind == frame.MISSED:
                dropped.update(orjson.loads(item.payload))
    return data[end:]


def _worth(path: Path) -> int:
    """2: the segment tells of failures; 1: of what is still under way at its end; 0: of neither."""
    opened: dict[int, int] = {}
    for item in frame.intact(path.read_bytes()):
        if item.flags & frame.FAILURE:
            return 2
        if item.kind == frame.START:
            opened[item.key] = item.flags
        elif item.key in opened:
            opened[item.key] = frame.still_open(opened[item.key], item.flags)
    return 1 if any(flags & (frame.OPENS | frame.OF_SPAN) for flags in opened.values()) else 0
