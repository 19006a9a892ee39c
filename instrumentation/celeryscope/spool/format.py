"""A segment: one append-only file of one process.

Invariants
1. A segment begins with ``MAGIC``; its first frame is of kind HEADER and holds the process's resource.
2. A frame is ``length, crc, number, kind, flags, scope, key`` (little-endian, 24 bytes) and ``length`` bytes of
   payload. ``crc`` (CRC-32) covers everything of the frame behind itself. A frame is written by one ``write()``.
3. Frames of kind SPAN and LOG without the flag CARRIED are records. Records of a process are numbered 1, 2, 3, ...
   across its segments without a gap, so whoever reads the next one knows how many were lost before it.
4. ``scope`` names an earlier SCOPE frame of the same segment (by the order of their appearance, from 1).
5. What is open: an OPEN_SPAN frame opens the span ``key``, the SPAN frame of that key closes it; a LOG frame with the
   flag OPENS opens the attempt ``key`` (its delivery), one with CLOSES closes it. Everything open when a segment is
   begun is repeated at its head with the flag CARRIED: one segment alone tells all that is open.
6. The file is locked (flock) by its process from before it gets its name until the next segment has its name:
   a process is alive if and only if its highest segment is locked.
7. Only the end of the highest segment may hold a torn frame.

Payloads are OTLP/JSON: ``Span`` for SPAN and OPEN_SPAN, ``LogRecord`` for LOG, ``Resource`` for HEADER,
``InstrumentationScope`` for SCOPE.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

MAGIC: Final = b"CSPOOL1\n"

HEADER: Final = 1
SCOPE: Final = 2
OPEN_SPAN: Final = 3
SPAN: Final = 4
LOG: Final = 5

OPENS: Final = 1
CLOSES: Final = 2
CARRIED: Final = 4
FAILURE: Final = 8
"""The quota drops segments with such frames last."""

_FRAME = struct.Struct("<IIIBBHQ")
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
    def is_record(self) -> bool:
        """Whether it is counted and shipped."""
        return self.kind >= SPAN and not self.flags & CARRIED


class CorruptFrame(Exception):
    """A frame that can't be read; ``resume_at`` is the offset of the next one, None when that is unknown."""

    def __init__(self, resume_at: int | None) -> None:
        super().__init__("corrupt frame")
        self.resume_at = resume_at


def pack(number: int, kind: int, flags: int, scope: int, key: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    crc = zlib.crc32(payload, zlib.crc32(_BEHIND_CRC.pack(number, kind, flags, scope, key)))
    return _FRAME.pack(len(payload), crc, number, kind, flags, scope, key) + payload


def frames(data: bytes, start: int, base: int = 0) -> Iterator[Frame]:
    """The whole frames in ``data[start:]``; ``base`` is the offset of ``data`` in its segment.

    Ends before a torn frame at the end of the data. Raises CorruptFrame at a frame whose bytes are wrong.
    """
    size = len(data)
    while start + FRAME_BYTES <= size:
        length, crc, number, kind, flags, scope, key = _FRAME.unpack_from(data, start)
        if length > MAX_PAYLOAD:
            raise CorruptFrame(None)
        end = start + FRAME_BYTES + length
        if end > size:
            return
        payload = data[start + FRAME_BYTES : end]
        if zlib.crc32(payload, zlib.crc32(data[start + 8 : start + FRAME_BYTES])) != crc:
            raise CorruptFrame(base + end if _plausible(data, end) else None)
        yield Frame(number, kind, flags, scope, key, payload, base + end)
        start = end


def _plausible(data: bytes, at: int) -> bool:
    """Whether a frame with a right checksum begins at ``at`` (or the data ends there)."""
    if at == len(data):
        return True
    if at + FRAME_BYTES > len(data):
        return False
    length, crc = struct.unpack_from("<II", data, at)
    end = at + FRAME_BYTES + length
    return bool(end <= len(data) and zlib.crc32(data[at + 8 : end]) == crc)
