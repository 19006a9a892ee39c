"""Families, locks and adoption: which folder of the spool belongs to whom.

    <spool>/                  mode 0700
        ledger.json           totals of the families that are gone
        ledger.lock
        <family>/             one process family: a worker with its pool, or one other process
            family.lock       locked (flock) by the process that ships for the family
            checkpoint.json   how far it has come
            <process>.<n>.segment

A family's folder is locked before it gets its name, so a folder whose lock is free belongs to nobody alive: the next
shipper that looks adopts it.
"""

import fcntl
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from celeryscope.errors import ConfigError

LOCK = "family.lock"
SUFFIX = ".segment"


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
    except FileNotFoundError:
        return {}
    for name in names:
        if name.endswith(SUFFIX) and not name.startswith("."):
            process, number = name.removesuffix(SUFFIX).rsplit(".", 1)
            found.setdefault(process, []).append(Segment(process, int(number), family / name))
    return found


def is_locked(path: Path) -> bool:
    """Whether a process alive holds the file's lock; False when the file is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
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
    """A family's folder whose lock this process holds."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def create(cls, spool: Path) -> "Family":
        """Make and lock a new family's folder. Raises OSError when the spool can't be written to."""
        prepare(spool)
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        hidden = spool / f".{name}"
        hidden.mkdir(mode=0o700)
        descriptor = os.open(hidden / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        hidden.rename(spool / name)
        return cls(spool / name, descriptor)

    @classmethod
    def adopt(cls, path: Path) -> "Family | None":
        """Take over a family whose shipper is gone; None while somebody has it (or it is gone)."""
        try:
            descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Between open and lock the last owner may have removed the folder.
        if not (path / LOCK).exists():
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def release(self) -> None:
        """Let go of the lock (after a fork in the child, or at the end)."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Delete the folder, which holds no segments any more, and let go of the lock."""
        # The lock's file goes last: without it nobody could adopt what an interruption leaves here.
        for entry in sorted(self.path.iterdir(), key=lambda entry: entry.name == LOCK):
            entry.unlink(missing_ok=True)
        self.path.rmdir()
        self.release()


def families(spool: Path) -> list[Path]:
    """All families' folders, oldest first."""
    try:
        found = [entry for entry in spool.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    return sorted(found, key=_changed_at)


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_ctime_ns
    except FileNotFoundError:
        return 0
