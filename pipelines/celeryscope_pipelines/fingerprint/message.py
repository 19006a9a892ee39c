"""Messages without what is different each time."""

import re
from typing import Final

_READ_MOST: Final = 4096
"""Characters of a message that are looked at; it bounds the time."""
_PARAMETERS: Final = (
    (re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"), "<uuid>"),
    (re.compile(r"\b0[xX][0-9a-fA-F]+"), "<hex>"),
    # An apostrophe within or at the end of a word begins no quotation.
    (re.compile(r"(?<!\w)(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`)(?!\w)"), "<text>"),
    (re.compile(r"\b(?=\d*[a-fA-F])(?=[a-fA-F]*\d)[0-9a-fA-F]{12,}\b"), "<hex>"),
    (re.compile(r"\b(?=\d*[^\W\d])(?=[^\W\d]*\d)\w{20,}\b"), "<id>"),
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
