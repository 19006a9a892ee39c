"""What is in a spool, for a person who looks: families, their segments, and the records and damages of a segment.

Only reads. A spool in use is not disturbed: a shared lock is taken for a moment to see whether a file's owner lives.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from celeryscope import semconv
from celeryscope.spool import format as frame
from celeryscope.spool import ledger, plain, plain_sent
from celeryscope.spool.folder import ALIVE, LOCK, Segment, families, is_locked, segments, size
from celeryscope.spool.ledger import Ledger

KINDS = {
    frame.MISSED: "missed",
    frame.HEADER: "header",
    frame.SCOPE: "scope",
    frame.START: "start",
    frame.SPAN: "span",
    frame.LOG: "log",
    frame.END: "end",
    frame.SENT: "sent",
}
"""Names of the kinds of frames."""

_NO_FRAME = "these bytes are no frame: the checksum is wrong, or the length is"
_CUT = "the last frame is cut: it is being written, or its process was killed meanwhile"


@dataclass(frozen=True, slots=True)
class Record:
    """One frame that holds records; times are nanoseconds, None where it has none."""

    number: int
    offset: int
    kind: str
    time_ns: int | None
    name: str
    task_id: str | None
    state: str | None
    carried: bool
    """Repeated from an earlier segment because it is still open."""
    payload: bytes
    count: int
    """How many records it holds."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no frame; ``is_cut``: nothing but the end of what a process was writing."""

    offset: int
    end: int
    is_cut: bool

    @property
    def reason(self) -> str:
        """In words."""
        return _CUT if self.is_cut else _NO_FRAME


@dataclass(slots=True)
class Content:
    """What a segment holds."""

    records: list[Record] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    bytes: int = 0

    @property
    def is_corrupt(self) -> bool:
        """Whether anything is damaged that a kill alone does not explain."""
        return any(not damage.is_cut for damage in self.damages)


@dataclass(frozen=True, slots=True)
class Overview:
    """A family: ``age`` in seconds, ``position`` by process: segment, offset in it, number of the last record."""

    path: Path
    pid: int | None
    alive: bool
    shipped_by_somebody: bool
    age: float
    segments: list[Segment]
    bytes: int
    ledger: Ledger
    saved: dict[str, Any]
    """Its checkpoint."""
    position: dict[str, tuple[int, int, int]]
    done: dict[str, int]

    def is_shipped(self, segment: Segment, number: int) -> bool:
        """Whether the record of that number was shipped already (or dropped)."""
        if self.done.get(segment.process, 0) >= segment.number:
            return True
        return number <= self.position.get(segment.process, (0, 0, 0))[2]


def overviews(spool: Path) -> list[Overview]:
    """All families, oldest first."""
    return [overview(path) for path in families(spool)]


def overview(family: Path) -> Overview:
    """One family, as it is at this moment."""
    saved = ledger.read_json(family / ledger.CHECKPOINT)
    pid = family.name.split("-")[0]
    return Overview(
        path=family,
        pid=int(pid) if pid.isdecimal() else None,
        alive=is_locked(family / ALIVE),
        shipped_by_somebody=is_locked(family / LOCK),
        age=_age(family),
        segments=[segment for found in segments(family).values() for segment in found],
        bytes=size(family),
        ledger=Ledger.from_dict(saved),
        saved=saved,
        position={name: (at[0], at[1], at[2]) for name, at in saved.get("positions", {}).items()},
        done=dict(saved.get("done", {})),
    )


def content(path: Path) -> Content:
    """All that a segment's file holds. Raises OSError when it can't be read."""
    data = path.read_bytes()
    found, opened = Content(bytes=len(data)), dict[int, Any]()
    end = len(frame.MAGIC) if data.startswith(frame.MAGIC) else 0
    for item in frame.intact(data):
        begin = item.end - frame.FRAME_BYTES - len(item.payload)
        if begin > end:
            found.damages.append(Damage(end, begin, is_cut=False))
        end = item.end
        if item.kind >= frame.START:
            found.records.append(_record(item, begin, opened))
    if tail := data[end:]:
        found.damages.append(Damage(end, len(data), frame.is_cut(tail)))
    return found


def find(spool: Path, name: str) -> Segment | None:
    """The segment with that file name (its suffix may be left out) in any family."""
    for family in families(spool):
        for found in segments(family).values():
            for segment in found:
                if name in {segment.path.name, segment.path.stem}:
                    return segment
    return None


def _record(item: frame.Frame, offset: int, opened: dict[int, Any]) -> Record:
    try:
        told = orjson.loads(item.payload)
        if item.kind == frame.START:
            told = opened[item.key] = plain.start_of(told)
        elif item.kind == frame.SENT:
            told = plain_sent.sent_of(told)
        elif item.kind == frame.END:
            start = opened.get(item.key, {})
            told = {"start": start, **plain.end_of(told, start)}
        described = _DESCRIBED[item.kind](told)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        described = None, f"(not understood: {error!r})", None, None
    carried = bool(item.flags & frame.CARRIED)
    return Record(
        item.number, offset, KINDS.get(item.kind, str(item.kind)), *described, carried, item.payload, item.records
    )


_Described = tuple[int | None, str, str | None, str | None]
"""Time, name, task id and state."""


def _start(told: dict[str, Any]) -> _Described:
    return told["time_ns"], f"started {told['name']}", told["request"].get("id"), semconv.STATE_STARTED


def _end(told: dict[str, Any]) -> _Described:
    start, event, span = told["start"], told["event"], told["span"]
    name = f"{event or 'the end of a span'} {start.get('name', '')}".strip()
    state = told["attributes"].get(semconv.STATE) or (semconv.TASK_STATES.get(event) if event else None)
    return told["time_ns"] or (span or {}).get("ended_ns"), name, start.get("request", {}).get("id"), state


def _sent(told: dict[str, Any]) -> _Described:
    return told["time_ns"], f"sent {told['name']}", told["request"].get("id"), semconv.STATE_SENT


def _log(told: dict[str, Any]) -> _Described:
    values = dict(_strings(told.get("attributes", ())))
    name = told.get("eventName") or told.get("body", {}).get("stringValue", "")
    return int(told.get("timeUnixNano", 0)) or None, name, values.get(semconv.TASK_ID), values.get(semconv.STATE)


def _span(told: dict[str, Any]) -> _Described:
    values = dict(_strings(told.get("attributes", ())))
    started = int(told.get("startTimeUnixNano", 0)) or None
    return started, told.get("name", ""), values.get(semconv.TASK_ID), values.get(semconv.STATE)


_DESCRIBED = {frame.START: _start, frame.END: _end, frame.SENT: _sent, frame.LOG: _log, frame.SPAN: _span}


def _strings(attributes: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for item in attributes:
        if "stringValue" in item["value"]:
            yield item["key"], item["value"]["stringValue"]


def _age(family: Path) -> float:
    for path in (family / ALIVE, family):
        try:
            return max(time.time() - path.stat().st_mtime, 0.0)
        except OSError:
            continue
    return 0.0
