"""The body of a request, decompressed without ever holding more than the limit."""

import zlib
from typing import Final

from zstandard import ZstdDecompressor, ZstdError

from celeryscope.errors import CeleryscopeError, Rejected

_MAX_MEMBERS: Final = 64
_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
_ZSTD_WINDOW: Final = 8 * 1024 * 1024
"""What RFC 9659 lets a sender use, and a receiver has to have room for."""
_ZSTD_STEP: Final = 512
"""Bytes given to zstd at once: it has no limit for what it makes of them, which is 128 KiB of 4 bytes at most."""


class TooLarge(CeleryscopeError):
    """The request is over a size limit; sending it again in smaller parts may work."""


class Unsupported(CeleryscopeError):
    """The media type or content encoding is none that we know."""


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its content encoding, at most ``limit`` bytes.

    Raises TooLarge as soon as the output would exceed the limit (a bomb costs no more memory than that, one of zstd
    16 MiB more), Rejected when the compressed data is broken or cut off, Unsupported for another encoding.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        if len(body) > limit:
            raise _too_large(limit)
        return body
    bits = _WINDOW_BITS.get(encoding)
    if bits is None and encoding != "zstd":
        raise Unsupported(f"content-encoding {encoding!r} is not supported: use gzip, zstd, deflate or none")
    try:
        return _unpacked_zstd(body, limit) if bits is None else _inflated(body, bits, limit)
    except (zlib.error, ZstdError) as error:
        raise Rejected("malformed", f"the body is not valid {encoding}: {error}") from None


def _inflated(body: bytes, bits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit + 1
    # A gzip body may be several members one after the other.
    while body:
        # Each costs a copy of all that is behind it.
        if len(parts) == _MAX_MEMBERS:
            raise _too_many_members()
        inflater = zlib.decompressobj(bits)
        part = inflater.decompress(body, room)
        room -= len(part)
        if room <= 0:
            raise _too_large(limit)
        if not inflater.eof:
            raise Rejected("malformed", "the compressed body is cut off")
        parts.append(part)
        body = inflater.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unpacked_zstd(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = position = frames = 0
    # A body may be several frames one after the other.
    while position < len(body):
        frames += 1
        if frames > _MAX_MEMBERS:
            raise _too_many_members()
        frame = ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        while not frame.eof:
            if position >= len(body):
                raise Rejected("malformed", "the compressed body is cut off")
            part = frame.decompress(body[position : position + _ZSTD_STEP])
            position += _ZSTD_STEP
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
        position = min(position, len(body)) - len(frame.unused_data)
    return b"".join(parts)


def _too_many_members() -> Rejected:
    return Rejected("malformed", f"the compressed body has over {_MAX_MEMBERS} parts: compress it as one")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the decompressed request is over {limit} bytes: send smaller batches")


def packing(message: bytes) -> str:
    """How a message of gRPC is compressed, "" for not at all; gRPC does not hand on what its header said.

    None is a request that anybody sends: 0x1f is no tag of protobuf, 0x28 and 0x78 those of fields that OTLP has not.
    """
    if message.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if message.startswith(b"\x1f\x8b"):
        return "gzip"
    if message.startswith(b"\x78") and len(message) > 1 and int.from_bytes(message[:2]) % 31 == 0:
        return "deflate"
    return ""
