"""Messages without what is different each time."""

import re
from typing import Final

_READ_MOST: Final = 4096
"""Characters of a message that are looked at; it bounds the time."""
_NOT_WITHIN: Final = "(?<![0-9A-Za-z])"
_PARAMETERS: Final = (
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "<uuid>"),
    (re.compile(r"\b0[xX][0-9a-fA-F]+"), "<hex>"),
    # An apostrophe within or at the end of a word begins no quotation.
    (re.compile(r"(?<!\w)(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`)(?!\w)"), "<text>"),
    # Digits and letters in turns; a number with a unit, or a word with a number, is something else.
    (re.compile(rf"{_NOT_WITHIN}(?=\d+[a-fA-F]+\d|[a-fA-F]+\d+[a-fA-F])[0-9a-fA-F]{{12,}}(?![0-9A-Za-z])"), "<hex>"),
    (re.compile(rf"{_NOT_WITHIN}(?=\d+[A-Za-z]+\d|[A-Za-z]+\d+[A-Za-z])[0-9A-Za-z]{{20,}}"), "<id>"),
    (re.compile(r"(?:(?<![\w.)])[-+])?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?"), "<n>"),
)


def parameterised(message: str) -> str:
    """The start of the message with ids, numbers and quoted texts replaced by what they are, e.g. ``<n>``."""
    message = message[:_READ_MOST]
    for pattern, name in _PARAMETERS:
        message = pattern.sub(name, message)
    return message


def one_line(text: str) -> str:
    """The first line with something on it, single spaces between its words."""
    first = next((line for line in text[:_READ_MOST].splitlines() if line.strip()), "")
    return " ".join(first.split())
