"""Looks after the spool of a process that leaves the shipping to an agent."""

import logging
import threading

from celeryscope.settings import Settings
from celeryscope.spool import ledger
from celeryscope.spool.folder import Family, size
from celeryscope.spool.ledger import Ledger
from celeryscope.spool.reader import FamilyReader
from celeryscope.spool.writer import SpoolWriter

logger = logging.getLogger("celeryscope")

_INTERVAL = 1.0


class Keeper:
    """Writes what waits in memory, puts a deleted folder back, and keeps the quota while no agent runs; one thread.

    Stands where others have a ``Shipper``.
    """

    def __init__(self, settings: Settings, family: Family, writer: SpoolWriter) -> None:
        self._settings = settings
        self._family = family
        self._writer = writer
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in a daemon thread, until ``stop``."""
        self._thread = threading.Thread(target=self._run, name="celeryscope-keeper", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End within ``timeout`` seconds; the family is an orphan from now on, for the agent."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout)
        self._family.release()

    def abandon(self) -> None:
        """After a fork, in the child: there is nothing to let go of."""

    def counts(self) -> Ledger:
        """What became of the family's records so far, as the agent has saved it last."""
        return Ledger.from_dict(ledger.read_json(self._family.path / ledger.CHECKPOINT))

    def pending_bytes(self) -> int:
        """Bytes of the family's segments that the agent has not shipped yet."""
        return FamilyReader(Family(self._family.path)).pending_bytes()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            try:
                self._writer.write()
                self._keep_quota()
            except Exception:
                logger.exception("celeryscope: looking after the spool failed")

    def _keep_quota(self) -> None:
        if size(self._family.path) <= self._settings.spool_max_bytes:
            return
        if taken := Family.adopt(self._family.path, alive=True):
            try:
                FamilyReader(taken).enforce_quota(self._settings.spool_max_bytes)
            finally:
                taken.release()
