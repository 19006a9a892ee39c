"""Files that a running collector reads again."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog

from celeryscope.errors import ConfigError

Content = TypeVar("Content")
Content_co = TypeVar("Content_co", covariant=True)
_log = structlog.get_logger(__name__)


class Current(Protocol[Content_co]):
    """Something that may change while the collector runs."""

    @property
    def content(self) -> Content_co:
        """As it is now."""

    def reload(self) -> None:
        """Read it again, whether it seems to have changed or not."""


class Fixed(Generic[Content]):
    """What stands in no file: it stays as it is."""

    def __init__(self, content: Content) -> None:
        self.content = content

    def reload(self) -> None:
        """Nothing to do."""


class WatchedFile(Generic[Content]):
    """What a file says, read again whenever it changes; while it can't be used, what was read before stays in force.

    For any number of threads.
    """

    def __init__(self, path: Path, read: Callable[[Path], Content]) -> None:
        """``read`` raises ConfigError for a file that can't be used, and so does this."""
        self._path = path
        self._read = read
        # Without it a thread that has read an earlier state of the file could be the last to say what is in force.
        self._reading = threading.Lock()
        # Before it is read: a change meanwhile is then seen the next time.
        self._stamp = self._state()
        self._content = read(path)

    @property
    def content(self) -> Content:
        """What the file says, as far as it can be used."""
        if self._state() != self._stamp:
            with self._reading:
                if self._state() != self._stamp:
                    self._read_again()
        return self._content

    def reload(self) -> None:
        """Read the file again, whether it seems to have changed or not."""
        with self._reading:
            self._read_again()

    def _read_again(self) -> None:
        self._stamp = self._state()
        try:
            self._content = self._read(self._path)
        except ConfigError as error:
            _log.error(
                "file changed and can't be used; what was read before stays in force",
                file=str(self._path),
                error=str(error),
            )
        else:
            _log.info("file read again", file=str(self._path))

    def _state(self) -> tuple[int, int, int] | None:
        try:
            state = self._path.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size, state.st_ino
