"""Who of several watchers is active.

The holder writes its lease anew at each turn, and within a turn that is long. The others watch the document, not the
clock of the holder's host: only when it has not changed for the whole time of the lease, by their own clock, does one
of them take it over, by compare and set, so that one of them succeeds.
"""

from typing import Any, Final

from elasticsearch import Elasticsearch

from celeryscope_pipelines.watcher.store import Document, Outdated

_HOLDER: Final = "holder"
_FREE: Final = ""
_RENEWALS: Final = 3
"""How often it is written anew, at most, while it lasts."""


class Lease:
    """One for each name; ``holder`` is who we are, ``seconds`` how long a holder may be silent."""

    def __init__(self, client: Elasticsearch, name: str, holder: str, seconds: float) -> None:
        self._document = Document(client, "lease", f"lease/{name}")
        self._holder = holder
        self._seconds = seconds
        self._seen: Any = None
        self._seen_at = 0.0
        self._written_at = 0.0
        self.held_by = ""
        """Who had it when it was asked for last."""

    def hold(self, at: str, clock: float) -> bool:
        """Take or keep the lease; ``clock`` is a monotonic time in seconds. Raises Unavailable and the like."""
        content = self._document.read()
        holder = content[_HOLDER] if content else _FREE
        if holder not in {_FREE, self._holder} and not self._is_abandoned(clock):
            self.held_by = holder
            return False
        try:
            self._document.write({_HOLDER: self._holder}, at)
        except Outdated:
            return False
        self._written_at = clock
        self.held_by = self._holder
        return True

    def keep(self, at: str, clock: float) -> None:
        """Write it anew if that is due; to be called often while a turn lasts.

        Raises Outdated when somebody else has written it since we did, Unavailable and the like.
        """
        if clock - self._written_at >= self._seconds / _RENEWALS:
            self._document.write({_HOLDER: self._holder}, at)
            self._written_at = clock

    def release(self, at: str) -> None:
        """Let another one take over at once, if it is ours."""
        content = self._document.read()
        if content and content[_HOLDER] == self._holder:
            self._document.write({_HOLDER: _FREE}, at)

    def _is_abandoned(self, clock: float) -> bool:
        if self._document.version != self._seen:
            self._seen, self._seen_at = self._document.version, clock
        return clock - self._seen_at >= self._seconds
