"""Which loggers' lines are sent, and from which level on."""

import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_OURS: Final = ("celeryscope", "opentelemetry")
"""Loggers that speak of our own work: what they say while a line is written would be written, and so on for ever."""
_NEVER: Final = 1_000_000


class Levels:
    """The lowest level of each logger that is sent; of a logger's own setting and its parents', the nearest counts."""

    def __init__(self, default: str, levels: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        """``levels``: items of ``<logger>=<level>``; ``exclude``: loggers that are never sent."""
        self._levels = dict(map(_parsed, levels))
        self._levels |= dict.fromkeys((*exclude, *_OURS), _NEVER)
        self._default = number(default)
        self.lowest = min(self._default, *self._levels.values())
        """The lowest of all: no line below it is sent."""
        self.of = lru_cache(maxsize=4096)(self._of)
        """The number of the lowest level of a logger that is sent."""

    def _of(self, logger: str) -> int:
        name = logger
        while name:
            if name in self._levels:
                return self._levels[name]
            name = name.rpartition(".")[0]
        return self._default


def _parsed(item: str) -> tuple[str, int]:
    name, _, level = item.partition("=")
    return name.strip(), number(level.strip())


def number(level: str) -> int:
    """The standard library's number of a level."""
    return logging.getLevelNamesMapping()[level.upper()]
