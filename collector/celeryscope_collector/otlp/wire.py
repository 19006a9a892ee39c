"""Protobuf's wire format, as far as records can be cut out of a request and put into another one without decoding them.

A message is fields, one after the other: a tag (number * 8 + type) and the content. Length-delimited ones (type 2) hold
a varint of the length and then so many bytes: texts, bytes, and messages. Two encodings of a message one behind the
other are the encoding of both merged, so a field can be added at the end.
"""

from functools import lru_cache
from typing import Final

_DELIMITED: Final = 2


class NotPlain(Exception):
    """The bytes are not laid out as expected; whether they are valid has to be asked of a real parser."""


@lru_cache(maxsize=4096)
def varint(number: int) -> bytes:
    """A whole number from 0 on."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field with a number below 16."""
    return bytes((number << 3 | _DELIMITED,)) + varint(len(content)) + content


def fields(message: bytes, known: int, whole: int = 0) -> list[list[bytes]]:
    """The contents of the length-delimited fields 1 to ``known``, by number.

    At 0 are those of the number ``whole`` once more, each with its tag and length, as it stands in the message. Raises
    NotPlain when there is any other field, or the message is cut off.
    """
    found: list[list[bytes]] = [[] for _ in range(known + 1)]
    position, end = 0, len(message)
    try:
        while position < end:
            start, tag = position, message[position]
            length = message[position + 1]
            position += 2
            if length > 0x7F:
                byte = message[position]
                if byte < 0x80:
                    # Below 16 KiB: the length of nearly every record.
                    length, position = length & 0x7F | byte << 7, position + 1
                else:
                    length, position = _rest_of_varint(length, message, position)
            if tag & 7 != _DELIMITED or not 0 < tag >> 3 <= known or position + length > end:
                raise NotPlain
            found[tag >> 3].append(message[position : position + length])
            position += length
            if tag >> 3 == whole:
                found[0].append(message[start:position])
    except IndexError:
        raise NotPlain from None
    return found


def _rest_of_varint(number: int, message: bytes, position: int) -> tuple[int, int]:
    number &= 0x7F
    for shift in (7, 14, 21, 28):
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise NotPlain
