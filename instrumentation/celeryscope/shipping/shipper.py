"""The shipper: reads the spool, sends, commits; backs off while the collector is away; adopts orphaned families."""

import itertools
import logging
import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from celeryscope import otlp, semconv
from celeryscope.errors import CeleryscopeError, Rejected, Unauthorized, Unavailable
from celeryscope.settings import Settings
from celeryscope.shipping.client import CollectorClient
from celeryscope.spool.batch import Batch, Groups
from celeryscope.spool.folder import Family, families
from celeryscope.spool.ledger import Ledger
from celeryscope.spool.process_reader import Position, ProcessReader
from celeryscope.spool.reader import FamilyReader
from celeryscope.spool.writer import SpoolWriter

logger = logging.getLogger("celeryscope")

_ADOPT_INTERVAL, _ADOPT_INTERVAL_OF_AGENT = 10.0, 1.0
_ADOPTED_MOST, _ADOPTED_MOST_BY_AGENT = 16, 10_000
"""Families adopted at once; each holds a descriptor, and the others wait for their turn."""
_GONE_AFTER = 60.0
"""Seconds after which a folder that somebody has deleted won't be put back by its main process any more."""
_QUOTA_INTERVAL = 1.0
_BACKOFF_FIRST, _BACKOFF_MOST = 0.5, 30.0


class Shipper:
    """Ships one family (its own), what its writer has in memory, and the families it adopts, in one thread."""

    def __init__(
        self,
        settings: Settings,
        own: Family | None,
        writer: SpoolWriter | None = None,
        spools: Sequence[Path] | None = None,
    ) -> None:
        """``own``: the family of this process, and its ``writer``; None where it has none.

        ``spools``: an agent's. It ships for families of living processes, too, which others leave alone.
        """
        self._settings = settings
        self._client = CollectorClient(settings)
        self._own = FamilyReader(own) if own else None
        self._writer = writer
        self._spools = spools or [settings.spool_dir]
        self._is_agent = spools is not None
        self._adopted: list[FamilyReader] = []
        self._adopt_at = 0.0
        self._quota_at = 0.0
        self._failures = 0
        self._reported: str | None = None
        self._stop = threading.Event()
        self._deadline = 0.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ship in a daemon thread until ``stop``."""
        self._thread = threading.Thread(target=self.run, name="celeryscope-shipper", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Ship what is left for at most ``timeout`` seconds; the rest stays in the spool for the next shipper."""
        self._deadline = time.monotonic() + timeout
        self._stop.set()
        if self._thread:
            self._thread.join(timeout + self._settings.request_timeout)

    def run(self) -> None:
        """Ship until stopped, then once more what is left."""
        while not self._stop.is_set():
            try:
                self._pause(self._round(final=False))
            except Exception:
                logger.exception("celeryscope: the shipper failed and goes on")
                self._stop.wait(_BACKOFF_MOST)
        try:
            self._drain()
        except Exception:
            logger.exception("celeryscope: shipping the rest failed; it stays in the spool")

    def ship_once(self) -> None:
        """Ship all that is there now. Raises Unavailable or Unauthorized; the rest stays in the spool then."""
        try:
            more = True
            while more:
                self._adopt_at = 0.0
                self._adopt()
                more = False
                for reader in self._readers:
                    more |= reader.family.regain() and self._ship(reader, final=False)
                more |= self._retire()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the families' locks, which a child would keep alive after a fork."""
        for reader in self._readers:
            reader.family.release()

    def counts(self) -> Ledger:
        """What became of the own family's records so far."""
        total = Ledger()
        if self._own:
            total.add(self._own.ledger)
        return total

    @property
    def _readers(self) -> list[FamilyReader]:
        """Of all families this shipper ships for, its own first."""
        return [*([self._own] if self._own else []), *self._adopted]

    def _drain(self) -> None:
        if self._is_agent:
            self._adopt_at = 0.0
            self._adopt()
        while True:
            self._failures = 0
            pause = self._round(final=True)
            if pause == self._settings.ship_interval or time.monotonic() + pause > self._deadline:
                break
            time.sleep(pause)
        for reader in self._readers:
            if reader.is_finished:
                reader.finish()
            else:
                reader.family.release()

    def _pause(self, seconds: float) -> None:
        """Wait, also for the end; what is written meanwhile stays within the quota."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stop.wait(min(left, _QUOTA_INTERVAL)):
            self._keep_quota()

    def _keep_quota(self) -> None:
        if time.monotonic() >= self._quota_at:
            for reader in self._readers:
                reader.enforce_quota(self._settings.spool_max_bytes)
            self._quota_at = time.monotonic() + _QUOTA_INTERVAL

    def _round(self, final: bool) -> float:
        """Send what is new of all families; returns the seconds to wait (0: there is more)."""
        if not final:
            self._adopt()
        self._keep_quota()
        try:
            more = self._ship_memory()
            for reader in self._readers:
                more |= reader.family.regain() and self._ship(reader, final and reader is self._own)
        except (Unavailable, Unauthorized, OSError) as error:
            return self._back_off(error)
        self._retire()
        return 0.0 if more else self._settings.ship_interval

    def _ship(self, reader: FamilyReader, final: bool) -> bool:
        """Send the next records of a family; whether there are more.

        What is written meanwhile waits for the next round, but for a final one: a busy worker would else be shipped in
        crumbs, and each start without the end that tells it again.
        """
        try:
            batch = reader.read(self._settings.request_max_bytes, final)
            refused = self._send(batch)
        except BaseException:
            # What was read but not shipped must be read again.
            reader.rewind()
            raise
        if len(batch) or reader.has_changed:
            reader.commit(len(batch) - refused, refused)
        return bool(len(batch)) if final else reader.has_more

    def _ship_memory(self) -> bool:
        """Send what the own process could not write to the spool; whether there was any."""
        if self._writer is None or self._own is None:
            return False
        self._writer.write()
        items, segment = self._writer.take(self._settings.request_max_bytes)
        if not items:
            return False
        batch = Batch()
        ProcessReader(Position()).read_bytes(segment, batch)
        batch.close()
        try:
            refused = self._send(batch)
        except BaseException:
            self._writer.put_back(items)
            raise
        self._writer.taken(items)
        self._own.close(items)
        self._own.count(batch, refused)
        return True

    def _send(self, batch: Batch) -> int:
        """Returns how many records the collector refused for ever."""
        if not len(batch):
            return 0
        refused = self._post(semconv.PATH_TRACES, "spans", batch.spans)
        refused += self._post(semconv.PATH_LOGS, "logs", batch.logs)
        if self._reported:
            logger.warning("celeryscope: the collector is back; the spool is being shipped")
        self._failures, self._reported = 0, None
        return refused

    def _post(self, path: str, kind: str, groups: Groups) -> int:
        """Send one request; one that is refused as a whole is halved until the bad record stands alone."""
        if not groups:
            return 0
        try:
            return self._client.post(path, otlp.request(kind, groups))
        except Rejected as error:
            if sum(map(len, groups.values())) == 1:
                logger.error("celeryscope: a record is dropped: %s", error)
                return 1
        return sum(self._post(path, kind, half) for half in _halves(groups))

    def _back_off(self, error: CeleryscopeError | OSError) -> float:
        self._failures += 1
        if self._reported != type(error).__name__:
            self._reported = type(error).__name__
            logger.warning("celeryscope: nothing is lost, the spool keeps it: %s", error)
        wanted = getattr(error, "retry_after", None)
        longest = min(_BACKOFF_MOST, _BACKOFF_FIRST * 2 ** min(self._failures, 10))
        return float(wanted) if wanted else random.uniform(longest / 2, longest)  # noqa: S311 - jitter

    def _adopt(self) -> None:
        if time.monotonic() < self._adopt_at:
            return
        self._adopt_at = time.monotonic() + (_ADOPT_INTERVAL_OF_AGENT if self._is_agent else _ADOPT_INTERVAL)
        most = _ADOPTED_MOST_BY_AGENT if self._is_agent else _ADOPTED_MOST
        known = {reader.family.path for reader in self._readers}
        for path in itertools.chain.from_iterable(map(families, self._spools)):
            if len(self._adopted) >= most:
                break
            if path not in known and (family := Family.adopt(path, alive=self._is_agent)):
                self._adopted.append(FamilyReader(family))

    def _retire(self) -> bool:
        """Let go of the families that are finished, or were deleted; whether there were any."""
        ended = [
            reader
            for reader in self._adopted
            if (reader.is_finished if reader.family.is_held else reader.family.gone_for > _GONE_AFTER)
        ]
        for reader in ended:
            reader.finish()
            self._adopted.remove(reader)
            self._adopt_at = 0.0
        return bool(ended)

    def pending_bytes(self) -> int:
        """Bytes of the own family's segments that are not shipped yet."""
        return self._own.pending_bytes() if self._own else 0


def _halves(groups: Groups) -> Iterator[Groups]:
    flat = [(key, payload) for key, payloads in groups.items() for payload in payloads]
    middle = len(flat) // 2
    for part in (flat[:middle], flat[middle:]):
        half: Groups = {}
        for key, payload in part:
            half.setdefault(key, []).append(payload)
        yield half
