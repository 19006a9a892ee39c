"""The shipper: reads the spool, sends, commits; backs off while the collector is away; adopts orphaned families."""

import logging
import random
import threading
import time
from collections.abc import Iterator

from celeryscope import otlp, semconv
from celeryscope.errors import CeleryscopeError, Rejected, Unauthorized, Unavailable
from celeryscope.settings import Settings
from celeryscope.shipping.client import CollectorClient
from celeryscope.spool.batch import Batch, Groups
from celeryscope.spool.folder import Family, families
from celeryscope.spool.ledger import Ledger
from celeryscope.spool.reader import FamilyReader

logger = logging.getLogger("celeryscope")

_ADOPT_INTERVAL = 10.0
_ADOPTED_MOST = 16
"""Families adopted at once; each holds a descriptor, and the others wait for their turn."""
_BACKOFF_FIRST, _BACKOFF_MOST = 0.5, 30.0


class Shipper:
    """Ships one family (its own) and the families it adopts, in one thread."""

    def __init__(self, settings: Settings, own: Family | None) -> None:
        """``own``: the family of this process; None where it has none (an agent)."""
        self._settings = settings
        self._client = CollectorClient(settings)
        self._own = FamilyReader(own, own=True) if own else None
        self._adopted: list[FamilyReader] = []
        self._adopt_at = 0.0
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
                pause = self._round(final=False)
            except Exception:
                logger.exception("celeryscope: the shipper failed and goes on")
                pause = _BACKOFF_MOST
            self._stop.wait(pause)
        try:
            self._drain()
        except Exception:
            logger.exception("celeryscope: shipping the rest failed; it stays in the spool")

    def abandon(self) -> None:
        """After a fork, in the child: let go of the families' locks, which the child would keep alive."""
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
        while True:
            self._failures = 0
            pause = self._round(final=True)
            if pause == self._settings.ship_interval or time.monotonic() + pause > self._deadline:
                break
            time.sleep(pause)
        for reader in self._readers:
            if reader.is_finished:
                reader.finish(self._settings.spool_dir)
            else:
                reader.family.release()

    def _round(self, final: bool) -> float:
        """Send what is new of all families; returns the seconds to wait (0: there is more)."""
        if not final:
            self._adopt()
        more = False
        for reader in self._readers:
            try:
                more |= self._ship(reader, final and reader is self._own)
            except (Unavailable, Unauthorized, OSError) as error:
                return self._back_off(reader, error)
            except BaseException:
                # What was read but not shipped must be read again.
                reader.rewind()
                raise
        self._retire()
        return 0.0 if more else self._settings.ship_interval

    def _ship(self, reader: FamilyReader, final: bool) -> bool:
        reader.enforce_quota(self._settings.spool_max_bytes)
        batch = reader.read(self._settings.request_max_bytes, final)
        if not len(batch):
            if reader.has_changed:
                reader.commit(0)
            return False
        refused = self._send(batch)
        reader.commit(len(batch) - refused, refused)
        if self._reported:
            logger.warning("celeryscope: the collector is back; the spool is being shipped")
        self._failures, self._reported = 0, None
        return True

    def _send(self, batch: Batch) -> int:
        return self._post(semconv.PATH_TRACES, "spans", batch.spans) + self._post(semconv.PATH_LOGS, "logs", batch.logs)

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

    def _back_off(self, reader: FamilyReader, error: CeleryscopeError | OSError) -> float:
        reader.rewind()
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
        self._adopt_at = time.monotonic() + _ADOPT_INTERVAL
        ours = {reader.family.path for reader in self._readers}
        for path in families(self._settings.spool_dir):
            if len(self._adopted) >= _ADOPTED_MOST:
                break
            if path not in ours and (family := Family.adopt(path)):
                self._adopted.append(FamilyReader(family, own=False))

    def _retire(self) -> None:
        for reader in [reader for reader in self._adopted if reader.is_finished]:
            reader.finish(self._settings.spool_dir)
            self._adopted.remove(reader)
            self._adopt_at = 0.0

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
