"""A segment: one append-only file of one process.

Invariants
1. A segment begins with ``MAGIC``; its first frame is of kind HEADER and holds the process's resource.
2. A frame is ``length, crc, number, kind, flags, scope, key`` (little-endian, 24 bytes) and ``length`` bytes of
   payload. ``crc`` (CRC-32) covers everything of the frame behind itself. A frame is written by one ``write()``.
3. Frames of kind START, SPAN, LOG and END without the flag CARRIED hold records: an END one for each of its flags
   CLOSES and OF_SPAN, the others one. Records of a process are numbered 1, 2, 3, ... across its segments without a gap;
   ``number`` is that of the frame's last one. So whoever reads the next one knows how many were lost before it.
4. ``scope`` names an earlier SCOPE frame of the same segment (by the order of their appearance, from 1).
5. What is open: a START frame opens with its flag OPENS the attempt of the delivery ``key``, with OF_SPAN its span; a
   LOG or END frame of that key closes with CLOSES the attempt, a SPAN or END frame with OF_SPAN the span. Everything
   open when a segment is begun is repeated at its head with the flag CARRIED: one segment alone tells all that is open.
6. The file is locked (flock) by its process from before it gets its name until the next segment has its name:
   a process is alive if and only if its highest segment is locked.
7. An END frame closes what is open, and says only what its START frame does not.
8. Only the end of the highest segment may hold a torn frame.

Payloads are OTLP/JSON: ``Span`` for SPAN, ``LogRecord`` for LOG, ``Resource`` for HEADER, ``InstrumentationScope`` for
SCOPE; START and END hold the short forms of ``celeryscope.spool.state``.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

MAGIC: Final = b"CSPOOL1\n"

HEADER: Final = 1
SCOPE: Final = 2
START: Final = 3
SPAN: Final = 4
LOG: Final = 5
END: Final = 6

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
        if not self.is_record:
            return 0
        return bool(self.flags & CLOSES) + bool(self.flags & OF_SPAN) if self.kind == END else 1

    @property
    def is_record(self) -> bool:
        """Whether it holds records that are counted and shipped."""
        return self.kind >= START and not self.flags & CARRIED


class CorruptFrame(Exception):
    """A frame that can't be read; ``resume_at`` is the offset of the next one, None when that is unknown."""

    def __init__(self, resume_at: int | None) -> None:
        super().__init__("corrupt frame")
        self.resume_at = resume_at


def pack(number: int, kind: int, flags: int, scope: int, key: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    checked = _BEHIND_CRC.pack(number, kind, flags, scope, key) + payload
    return _LENGTH_AND_CRC.pack(len(payload), zlib.crc32(checked)) + checked


def still_open(opened: int, closing: int) -> int:
    """What stays open (OPENS, OF_SPAN) of what was ``opened``, behind a frame with the flags ``closing``."""
    return opened & ~(closing & OF_SPAN) & ~(OPENS if closing & CLOSES else 0)


def frames(data: bytes, start: int, base: int = 0) -> Iterator[Frame]:
    """The whole frames in ``data[start:]``; ``base`` is the offset of ``data`` in its segment.

    Ends before a torn frame at the end of the data. Raises CorruptFrame at a frame whose bytes are wrong.
    """
    size, view = len(data), memoryview(data)
    while start + FRAME_BYTES <= size:
        length, crc, number, kind, flags, scope, key = _FRAME.unpack_from(data, start)
        if length > MAX_PAYLOAD:
            raise CorruptFrame(None)
        end = start + FRAME_BYTES + length
        if end > size:
            return
        if zlib.crc32(view[start + 8 : end]) != crc:
            raise CorruptFrame(base + end if _plausible(data, end) else None)
        yield Frame(number, kind, flags, scope, key, data[start + FRAME_BYTES : end], base + end)
        start = end


def _plausible(data: bytes, at: int) -> bool:
    """Whether a frame with a right checksum begins at ``at`` (or the data ends there)."""
    if at == len(data):
        return True
    if at + FRAME_BYTES > len(data):
        return False
    length, crc = _LENGTH_AND_CRC.unpack_from(data, at)
    end = at + FRAME_BYTES + length
    return bool(end <= len(data) and zlib.crc32(data[at + 8 : end]) == crc)
