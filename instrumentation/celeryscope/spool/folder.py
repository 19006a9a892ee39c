"""Families, locks and adoption: which folder of the spool belongs to whom.

    <spool>/                  mode 0700, of one user
        ledger.json           totals of the families that are gone
        ledger.lock
        <family>/             one process family: a worker with its pool, or one other process
            alive.lock        locked (flock) by the family's main process as long as it lives
            family.lock       locked by whoever ships for the family
            checkpoint.json   how far it has come
            <process>.<n>.segment

The two locks
1. Whoever reads positions, commits, drops or deletes holds family.lock. It is free while nobody ships: whoever locks
   it goes on at the checkpoint. Since the kernel frees it with its holder, a shipper that was killed is replaced
   without a time-out, and what it had sent without committing is sent once more.
2. alive.lock is locked before the folder gets its name and never again after the main process has ended: once seen
   free, it stays free. What the main process has written until then is all it will ever say.
3. A process that ships for itself holds both. With ``ship`` off it leaves family.lock free for ``celeryscope agent``,
   the only one to take the family of a living main process; other shippers adopt those of dead ones only.
4. An attempt left open by a dead child is lost at once when alive.lock was free before the segments were read, else
   after a time of grace in which the main process may tell how it ended (``reader.LOST_GRACE``).
5. The folder is removed by the holder of family.lock, once alive.lock and the locks of all segments are free and all is
   shipped. If somebody else deletes it, the main process puts it back under the same name.

Locks are the kernel's, so all of this holds between containers of one machine that share the folder; network file
systems are not supported. All of them must run as the same user.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from celeryscope.errors import ConfigError

ALIVE = "alive.lock"
LOCK = "family.lock"
SUFFIX = ".segment"
_GONE = (FileNotFoundError, NotADirectoryError)


class Segment(NamedTuple):
    """A segment's place: its process and its number among the process's segments."""

    process: str
    number: int
    path: Path


def segment_name(process: str, number: int) -> str:
    """File name of a segment; names of one process sort by age."""
    return f"{process}.{number:08d}{SUFFIX}"


def segments(family: Path) -> dict[str, list[Segment]]:
    """The segments of a family's folder by process, oldest first; empty when the folder is gone."""
    found: dict[str, list[Segment]] = {}
    try:
        names = sorted(entry.name for entry in family.iterdir())
    except _GONE:
        return {}
    for name in names:
        if name.endswith(SUFFIX) and not name.startswith("."):
            process, number = name.removesuffix(SUFFIX).rsplit(".", 1)
            found.setdefault(process, []).append(Segment(process, int(number), family / name))
    return found


def size(family: Path) -> int:
    """Bytes of a family's segments."""
    total = 0
    with contextlib.suppress(*_GONE), os.scandir(family) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                with contextlib.suppress(*_GONE):
                    total += entry.stat().st_size
    return total


def is_locked(path: Path) -> bool:
    """Whether a process alive holds the file's lock; False when the file is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except _GONE:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def prepare(spool: Path) -> None:
    """Make the spool's folder, private to the user. Raises ConfigError when it is somebody else's or can't be made."""
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = spool.stat().st_uid
    except OSError as error:
        raise ConfigError(
            f"The spool folder {spool} can't be made ({error.strerror}); set CELERYSCOPE_SPOOL_DIR."
        ) from error
    if owner != os.getuid():
        raise ConfigError(
            f"The spool folder {spool} belongs to another user; set CELERYSCOPE_SPOOL_DIR to a folder of one's own."
        )


class Family:
    """A family's folder, of which this process holds alive.lock, family.lock or both."""

    def __init__(self, path: Path, wanted: tuple[str, ...] = ()) -> None:
        """``wanted``: the locks to hold once the folder is made by ``mend``."""
        self.path = path
        self._wanted = wanted
        self._held: dict[str, int] = {}
        self._seen_at = time.monotonic()

    @classmethod
    def named(cls, spool: Path, ships: bool = True) -> "Family":
        """A new family with this process as its main process; its folder is made by ``mend``."""
        wanted = (ALIVE, LOCK) if ships else (ALIVE,)
        return cls(spool / f"{os.getpid()}-{secrets.token_hex(4)}", wanted)

    @classmethod
    def create(cls, spool: Path, ships: bool = True) -> "Family":
        """``named``, with its folder. Raises OSError or ConfigError when the spool can't be written to."""
        family = cls.named(spool, ships)
        family.mend()
        return family

    @classmethod
    def adopt(cls, path: Path, alive: bool = False) -> "Family | None":
        """Take over the shipping for a family; None while somebody else ships for it, or when it is gone.

        ``alive``: also when its main process lives; else None then, too.
        """
        try:
            descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        family = cls(path)
        family._held[LOCK] = descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            family.release()
            return None
        # Between open and lock the last owner may have removed the folder, or its main process put it back.
        if not family.is_held or (not alive and family.main_is_alive):
            family.release()
            return None
        return family

    @property
    def is_main(self) -> bool:
        """Whether this process is the family's main process."""
        return ALIVE in self._wanted

    @property
    def main_is_alive(self) -> bool:
        """Whether the family's main process lives; once False, it stays so."""
        return self.is_main or is_locked(self.path / ALIVE)

    @property
    def is_held(self) -> bool:
        """Whether this process still ships for the family: family.lock is there and its own."""
        return LOCK in self._held and self._has(LOCK)

    def regain(self) -> bool:
        """``is_held``, also after somebody has deleted the folder and the main process has put it back."""
        if not self.is_held and not self.is_main and (again := Family.adopt(self.path, alive=True)):
            self.release()
            self._held = again._held
        if self.is_held:
            self._seen_at = time.monotonic()
            return True
        return False

    @property
    def gone_for(self) -> float:
        """Seconds since ``regain`` has last found the folder."""
        return time.monotonic() - self._seen_at

    def mend(self) -> bool:
        """Of the main process: make the folder and its locks, or put back what of them was deleted.

        True when something was missing. Raises OSError or ConfigError when the spool can't be written to.
        """
        missing = [name for name in (ALIVE, LOCK) if not self._has(name)]
        if not missing:
            return False
        if self.path.is_dir():
            for name in missing:
                self._place(name, self.path)
            return True
        prepare(self.path.parent)
        hidden = self.path.with_name(f".{self.path.name}")
        try:
            hidden.mkdir(mode=0o700, exist_ok=True)
            for name in (ALIVE, LOCK):
                self._place(name, hidden)
            hidden.rename(self.path)
        except OSError:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        return True

    def release(self) -> None:
        """Let go of the locks (after a fork in the child, or at the end)."""
        while self._held:
            os.close(self._held.popitem()[1])

    def remove(self) -> None:
        """Delete the folder, which holds no segments any more, and let go of the locks."""
        # The shipper's lock goes last: without it nobody could adopt what an interruption leaves here.
        with contextlib.suppress(*_GONE):
            for entry in sorted(self.path.iterdir(), key=lambda entry: entry.name == LOCK):
                entry.unlink(missing_ok=True)
            self.path.rmdir()
        self.release()

    def _has(self, name: str) -> bool:
        """Whether the lock's file is there, and still the one that this process has locked."""
        try:
            there = (self.path / name).stat().st_ino
        except OSError:
            return False
        held = self._held.get(name)
        return there == os.fstat(held).st_ino if held is not None else name not in self._wanted

    def _place(self, name: str, folder: Path) -> None:
        """Make a lock's file; it is locked before it gets its name, so that nobody takes the family for an orphan."""
        hidden = folder / f".{name}"
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        before = self._held.pop(name, None)
        if name in self._wanted:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._held[name] = descriptor
        else:
            os.close(descriptor)
        if before is not None:
            os.close(before)
        hidden.rename(folder / name)


def families(spool: Path) -> list[Path]:
    """All families' folders, oldest first."""
    try:
        found = [entry for entry in spool.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except _GONE:
        return []
    return sorted(found, key=_changed_at)


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_ctime_ns
    except _GONE:
        return 0
