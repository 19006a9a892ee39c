"""A row of counts in as many characters."""

from collections.abc import Sequence
from typing import Final

_UNICODE: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:-=+*#@"


def sparkline(counts: Sequence[int], ascii_only: bool) -> str:
    """One character for each count, the highest one as high as can be; only 0 is empty."""
    characters = _ASCII if ascii_only else _UNICODE
    most = max(counts, default=0)
    steps = len(characters) - 1
    return "".join(characters[-(-count * steps // most)] if count > 0 else characters[0] for count in counts)
