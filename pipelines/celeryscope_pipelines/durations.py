"""How long data is kept, as people write it: ``12h``, ``30d``, ``8w``, or ``forever``."""

import re
from typing import Final

FOREVER: Final = 0

_DURATION: Final = re.compile(r"(\d+)\s*(h|d|w)", re.IGNORECASE)
_LONGEST: Final = 100 * 366 * 86_400
_SECONDS: Final = {"h": 3600, "d": 86_400, "w": 604_800}


def seconds(text: str) -> int:
    """Seconds of a duration, FOREVER for ``forever``. Raises ValueError for what is neither."""
    if text.strip() == "forever":
        return FOREVER
    found = _DURATION.fullmatch(text.strip())
    if not found or int(found[1]) == 0:
        raise ValueError(f"{text!r} is no duration; use e.g. 12h, 30d, 8w or forever")
    length = int(found[1]) * _SECONDS[found[2].lower()]
    if length > _LONGEST:
        raise ValueError(f"{text!r} is more than a hundred years; use forever")
    return length
