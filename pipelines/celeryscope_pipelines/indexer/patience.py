"""Waiting for a server that is away or overloaded: exponential back-off with jitter, until it works or we stop."""

import logging
import random
from collections.abc import Callable
from threading import Event

from celeryscope.errors import CeleryscopeError, Unauthorized, Unavailable
from celeryscope_pipelines.indexer import metrics

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.25
_TELL_EVERY = 50


class Stopped(Exception):
    """The process is asked to stop while a write can't succeed; nothing was decided about it."""


class Patience:
    """Shared by the threads of an indexer."""

    def __init__(self, max_delay: float, stop: Event) -> None:
        self._max_delay = max_delay
        self._stop = stop
        self.waiting_for = ""
        """Why nothing can be written now; empty while it works."""

    def until_done(self, action: Callable[[], None]) -> None:
        """Run the action until it raises neither Unavailable nor Unauthorized. Raises Stopped, and what it raises."""
        attempt = 0
        while True:
            try:
                action()
                return self.worked()
            except (Unavailable, Unauthorized) as error:
                self.pause(attempt, error)
                attempt += 1

    def pause(self, attempt: int, error: CeleryscopeError) -> None:
        """Wait before try ``attempt + 1``; raises Stopped when the process is to end."""
        self.waiting_for = str(error)
        metrics.waiting.set(1)
        metrics.retries.labels(type(error).__name__.lower()).inc()
        if attempt % _TELL_EVERY == 0:
            logger.warning("Nothing is lost, it is tried again: %s", error)
        longest = min(self._max_delay, _FIRST_PAUSE * 2 ** min(attempt, 20))
        if self._stop.wait(random.uniform(longest / 2, longest)):  # noqa: S311 - jitter
            raise Stopped

    def worked(self) -> None:
        """Tell that a server has answered as it should."""
        if self.waiting_for:
            self.waiting_for = ""
            metrics.waiting.set(0)
