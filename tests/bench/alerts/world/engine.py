"""Simulated time: actions in the order of their moments."""

import heapq
from collections.abc import Callable
from typing import Any


class Engine:
    """Runs actions; ``now`` is in seconds, 0 is the moment at which the watcher begins."""

    def __init__(self, begin: float) -> None:
        self.now = begin
        self._actions: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._number = 0

    def at(self, moment: float, action: Callable[..., object], *arguments: Any) -> None:
        """Call it then; at once (after the present action) when the moment is past."""
        self._number += 1
        heapq.heappush(self._actions, (max(moment, self.now), self._number, action, arguments))

    def after(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        """Call it so much later."""
        self.at(self.now + seconds, action, *arguments)

    def run(self, until: float) -> None:
        """Let the world go on to this moment."""
        while self._actions and self._actions[0][0] <= until:
            moment, _, action, arguments = heapq.heappop(self._actions)
            self.now = moment
            action(*arguments)
        self.now = until
