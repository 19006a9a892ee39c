"""The body of a request, decompressed without ever holding more than the limit."""

import zlib

from celeryscope.errors import CeleryscopeError, Rejected

_MAX_MEMBERS = 64
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class TooLarge(CeleryscopeError):
    """The request is over a size limit; sending it again in smaller parts may work."""


class Unsupported(CeleryscopeError):
    """The media type or content encoding is none that we know."""


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its content encoding, at most ``limit`` bytes.

    Raises TooLarge as soon as the output would exceed the limit (a gzip bomb costs no more memory than that),
    Rejected when the compressed data is broken or cut off, Unsupported for another encoding.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        if len(body) > limit:
            raise _too_large(limit)
        return body
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        raise Unsupported(f"content-encoding {encoding!r} is not supported: use gzip, deflate or none")
    try:
        return _inflated(body, bits, limit)
    except zlib.error as error:
        raise Rejected("malformed", f"the body is not valid {encoding}: {error}") from None


def _inflated(body: bytes, bits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit + 1
    # A gzip body may be several members one after the other.
    while body:
        # Each costs a copy of all that is behind it.
        if len(parts) == _MAX_MEMBERS:
            raise Rejected("malformed", f"the compressed body has over {_MAX_MEMBERS} parts: compress it as one")
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


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the decompressed request is over {limit} bytes: send smaller batches")


def packing(message: bytes) -> str:
    """How a message of gRPC is compressed, "" for not at all; gRPC does not hand on what its header said.

    Neither is a request that anybody sends: 0x1f is no tag of protobuf, and 0x78 that of a field that OTLP has not.
    """
    if message.startswith(b"\x1f\x8b"):
        return "gzip"
    if message.startswith(b"\x78") and len(message) > 1 and int.from_bytes(message[:2]) % 31 == 0:
        return "deflate"
    return ""
