"""How fast each tenant sends, held against its limits.

A token bucket, kept as one number: the time at which it will be full again (the generic cell rate algorithm). What was
let in may overdraw it, since the size of a request is known only once it is there; the next requests wait until that is
paid back. So no request is too large for a rate, and the rate holds on average.

Invariant of the shared folder: one file for each tenant and unit, eight bytes, a double in seconds of the clock that
all processes of a host share; written under a lock of that file.
"""

import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from celeryscope_collector.refusals import TooMuch
from celeryscope_collector.tenant_limits import TenantLimits

BURST_SECONDS: Final = 5.0
"""A tenant that was quiet may send as much at once as it may in this time."""

_NUMBER_BYTES: Final = 8


class Rates:
    """The buckets of all tenants, in this process's memory or, with a folder, shared with others of this host."""

    def __init__(self, clock: Callable[[], float], folder: Path | None = None) -> None:
        """``clock`` in seconds; with a folder it must be one that all processes share, as ``time.monotonic``."""
        self._clock = clock
        self._folder = folder
        self._cells: dict[tuple[str, str], _Cell] = {}

    def admit(self, tenant: str, limits: TenantLimits) -> None:
        """Raises TooMuch when the tenant has overdrawn one of its buckets, with the seconds until it has not."""
        now = self._clock()
        for unit, rate in (("records", limits.records_per_second), ("bytes", limits.bytes_per_second)):
            if rate is None:
                continue
            wait = self._cell(tenant, unit).full_at - now - BURST_SECONDS
            if wait > 0:
                raise TooMuch(f"tenant {tenant} sends more than its {rate:g} {unit} a second; send it later", wait)

    def charge(self, tenant: str, limits: TenantLimits, *, records: int = 0, size: int = 0) -> None:
        """Account for what came in, records and bytes."""
        now = self._clock()
        for unit, rate, number in (
            ("records", limits.records_per_second, records),
            ("bytes", limits.bytes_per_second, size),
        ):
            if rate is not None and number:
                self._cell(tenant, unit).postpone(now, number / rate)

    def _cell(self, tenant: str, unit: str) -> "_Cell":
        cell = self._cells.get((tenant, unit))
        if cell is None:
            path = None if self._folder is None else self._folder / f"{tenant}-{unit}.rate"
            cell = self._cells[tenant, unit] = _Cell(path)
        return cell


class _Cell:
    """One number that survives, and is shared by, all processes that open its file."""

    def __init__(self, path: Path | None) -> None:
        # A plain descriptor: it stays open as long as the process, and is not the garbage collector's to close.
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if self._file is None:
            self._number = memoryview(bytearray(_NUMBER_BYTES)).cast("d")
        else:
            os.ftruncate(self._file, _NUMBER_BYTES)
            self._number = memoryview(mmap.mmap(self._file, _NUMBER_BYTES)).cast("d")

    @property
    def full_at(self) -> float:
        return self._number[0]

    def postpone(self, now: float, seconds: float) -> None:
        with self._locked():
            self._number[0] = max(self._number[0], now) + seconds

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._file is None:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
