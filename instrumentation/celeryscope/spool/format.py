"""A segment: one append-only file of one process.

Invariants
1. A segment begins with ``MAGIC``; its first frame is of kind HEADER and holds the process's resource.
2. A frame is ``length, crc, number, kind, flags, scope, key`` (little-endian, 24 bytes) and ``length`` bytes of
   payload. ``crc`` (CRC-32) covers everything of the frame behind itself. A frame is written by one ``write()``.
3. Frames of kind START, SPAN, LOG, END and SENT without the flag CARRIED hold records: an END one for each of its
   flags CLOSES and OF_SPAN, a SENT two (an event and a span), the others one. Records of a process are numbered 1, 2,
   3, ... across its segments without a gap; ``number`` is that of the frame's last one. So whoever reads the next one
   knows how many were lost before it.
   A MISSED frame tells why those up to its number were never written.
4. A SCOPE frame gives its payload the number ``scope`` (from 1); a record names the one that it belongs to.
5. What is open: a START frame opens with its flag OPENS the attempt of the delivery ``key``, with OF_SPAN its span; a
   LOG or END frame of that key closes with CLOSES the attempt, a SPAN or END frame with OF_SPAN the span. Everything
   open when a segment is begun is repeated at its head with the flag CARRIED: one segment alone tells all that is open.
6. The file is locked (flock) by its process from before it gets its name until the next segment has its name:
   a process is alive if and only if its highest segment is locked.
7. An END frame closes what is open, and says only what its START frame does not.
8. Only the end of a segment may hold a torn frame, and nothing is appended behind one.
9. Payloads are JSON, which has no byte below 0x20, and each frame has some in its first bytes: so none begins inside
   another's payload, and behind a damaged frame the next one is found by its checksum alone.

Payloads are OTLP/JSON: ``Span`` for SPAN, ``LogRecord`` for LOG, ``Resource`` for HEADER, ``InstrumentationScope`` for
SCOPE; START, END and SENT hold the short forms of ``celeryscope.spool.state``, or those of ``celeryscope.spool.plain``
and ``celeryscope.spool.plain_sent``; MISSED ``{reason: count}``.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

MAGIC: Final = b"CSPOOL1\n"

MISSED: Final = 0
HEADER: Final = 1
SCOPE: Final = 2
START: Final = 3
SPAN: Final = 4
LOG: Final = 5
END: Final = 6
SENT: Final = 7

OPENS: Final = 1
CLOSES: Final = 2
CARRIED: Final = 4
FAILURE: Final = 8
"""The quota drops segments with such frames last."""
OF_SPAN: Final = 16

_FRAME = struct.Struct("<IIIBBHQ")
_LENGTH_AND_CRC = struct.Struct("<II")
_BEHIND_CRC = struct.Struct("<IBBHQ")
FRAME_BYTES: Final = _FRAME.size
MAX_PAYLOAD: Final = 32 * 1024 * 1024
_LIKE_A_FRAME = re.compile(rb"[\x00-\x02].{8}[\x00-\x07][\x00-\x1f]", re.DOTALL)
"""From the highest byte of a length that is allowed to the flags."""
_BEFORE_MATCH = 3


class Item(NamedTuple):
    """What is to be written as one frame."""

    kind: int
    """START, SPAN, LOG, END or SENT."""
    flags: int
    key: int
    """The delivery that it opens or closes, else 0."""
    payload: bytes
    scope: bytes
    """OTLP/JSON of its ``InstrumentationScope``; empty for START, END and SENT."""

    @property
    def records(self) -> int:
        """How many records it holds."""
        return records(self.kind, self.flags)


class Frame(NamedTuple):
    """One frame and the offset behind it in its segment."""

    number: int
    kind: int
    flags: int
    scope: int
    key: int
    payload: bytes
    end: int

    @property
    def records(self) -> int:
        """How many records it holds."""
        return records(self.kind, self.flags) if self.is_record else 0

    @property
    def is_record(self) -> bool:
        """Whether it holds records that are counted and shipped."""
        return self.kind >= START and not self.flags & CARRIED


class CorruptFrame(Exception):
    """Bytes that are no frame stand before the one at the offset ``resume_at``."""

    def __init__(self, resume_at: int) -> None:
        super().__init__("corrupt frame")
        self.resume_at = resume_at


def pack(number: int, kind: int, flags: int, scope: int, key: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    checked = _BEHIND_CRC.pack(number, kind, flags, scope, key) + payload
    return _LENGTH_AND_CRC.pack(len(payload), zlib.crc32(checked)) + checked


def records(kind: int, flags: int) -> int:
    """How many records a frame of such a kind holds (invariant 3)."""
    if kind == END:
        return _RECORDS_OF_END[flags & (CLOSES | OF_SPAN)]
    return 2 if kind == SENT else 1


_RECORDS_OF_END = {0: 0, CLOSES: 1, OF_SPAN: 1, CLOSES | OF_SPAN: 2}


def still_open(opened: int, closing: int) -> int:
    """What stays open (OPENS, OF_SPAN) of what was ``opened``, behind a frame with the flags ``closing``."""
    return opened & ~(closing & OF_SPAN) & ~(OPENS if closing & CLOSES else 0)


def frames(data: bytes, start: int, base: int = 0) -> Iterator[Frame]:
    """The whole frames in ``data[start:]``; ``base`` is the offset of ``data`` in its segment.

    Ends before what is no whole frame when none follows: it may be one that is just being written. Raises CorruptFrame
    where one follows.
    """
    size, view = len(data), memoryview(data)
    while start + FRAME_BYTES <= size:
        length, crc, number, kind, flags, scope, key = _FRAME.unpack_from(data, start)
        end = start + FRAME_BYTES + length
        if end > size or zlib.crc32(view[start + 8 : end]) != crc:
            following = _find(view, start + 1)
            if following is None:
                return
            raise CorruptFrame(base + following)
        yield Frame(number, kind, flags, scope, key, data[start + FRAME_BYTES : end], base + end)
        start = end


def intact(data: bytes) -> Iterator[Frame]:
    """All whole frames of a segment, whatever stands between them."""
    at = len(MAGIC) if data.startswith(MAGIC) else 0
    while True:
        try:
            yield from frames(data, at)
            return
        except CorruptFrame as error:
            at = error.resume_at


def is_cut(tail: bytes) -> bool:
    """Whether the bytes behind the last whole frame are the beginning of another one, for all that can be told."""
    return len(tail) < FRAME_BYTES or FRAME_BYTES + _LENGTH_AND_CRC.unpack_from(tail)[0] > len(tail)


def may_be_record(tail: bytes) -> bool:
    """Whether the bytes behind the last whole frame may have been a record."""
    if len(tail) < FRAME_BYTES:
        return bool(tail)
    kind, flags = _kind_and_flags(tail)
    return bool(kind >= START and not flags & CARRIED)


def _kind_and_flags(tail: bytes) -> tuple[int, int]:
    """Those of a frame whose checksum is wrong; of one that is not cut, the checksum tells whether a bit of them is."""
    length, crc, number, kind, flags, scope, key = _FRAME.unpack_from(tail)
    payload = tail[FRAME_BYTES : FRAME_BYTES + length]
    for bit in () if is_cut(tail) else range(16):
        mended = kind ^ (1 << bit & 0xFF), flags ^ (1 << bit >> 8)
        if zlib.crc32(_BEHIND_CRC.pack(number, *mended, scope, key) + payload) == crc:
            return mended
    return kind, flags


def _find(view: memoryview, start: int) -> int | None:
    """Where the first frame with a right checksum begins, from ``start`` on."""
    match = _LIKE_A_FRAME.search(view, start + _BEFORE_MATCH)
    while match:
        at = match.start() - _BEFORE_MATCH
        length, crc = _LENGTH_AND_CRC.unpack_from(view, at) if at + FRAME_BYTES <= len(view) else (MAX_PAYLOAD, 0)
        end = at + FRAME_BYTES + length
        if end <= len(view) and zlib.crc32(view[at + 8 : end]) == crc:
            return at
        match = _LIKE_A_FRAME.search(view, match.start() + 1)
    return None
