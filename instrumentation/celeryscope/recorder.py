"""The process-wide recorder: whatever is seen goes through here into the spool, in whichever process sees it."""

import atexit
import contextlib
import itertools
import logging
import os
import secrets
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from celeryscope import exceptions, otlp, resource, semconv
from celeryscope.clock import HybridClock
from celeryscope.redaction import Redactor
from celeryscope.settings import Settings
from celeryscope.shipping.shipper import Shipper
from celeryscope.spool import format as frame
from celeryscope.spool import plain, state
from celeryscope.spool.folder import Family
from celeryscope.spool.format import Item
from celeryscope.spool.keeper import Keeper
from celeryscope.spool.ledger import DROPPED_NO_SPOOL
from celeryscope.spool.plain import Told
from celeryscope.spool.state import End, Start
from celeryscope.spool.writer import SpoolWriter
from celeryscope.text import cut_middle

logger = logging.getLogger("celeryscope")

_SETTLED_MOST = 10_000
_OPENS_BOTH = frame.OPENS | frame.OF_SPAN
_CLOSES_BOTH = frame.CLOSES | frame.OF_SPAN


class Role(Enum):
    """What a process is to its family."""

    SINGLE = "single"
    """A publisher, a web process, beat: ships for itself from its first record on."""
    WORKER_MAIN = "worker main"
    """Ships for itself and its pool, once the pool has started."""
    POOL_CHILD = "pool child"
    """Writes into its parent's family; opens no socket, starts no thread."""


class Recorder:
    """Writes records to this process's end of the spool; survives forks; never raises for a failing spool."""

    def __init__(self, settings: Settings, app_name: str | None = None) -> None:
        self.settings = settings
        self.redactor = Redactor(settings.redact_names, by_name=settings.redact)
        self.clock = HybridClock()
        self.app_name = app_name
        self.role = Role.SINGLE
        # Re-entrant: a destructor may log while its own thread makes the writer.
        self._lock = threading.RLock()
        self._making = False
        self._before_close: list[Callable[[], None]] = []
        self._family: Family | None = None
        self._writer: SpoolWriter | None = None
        self._shipper: Shipper | Keeper | None = None
        self._settled: OrderedDict[int, None] = OrderedDict()
        self._unspooled = 0
        self._scopes: dict[tuple[str, str | None], bytes] = {}
        self._new_instance()
        # Forks can't be unregistered, so the hook must not keep a recorder of a test alive.
        mine = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forked(mine()))

    # --- what is recorded ---------------------------------------------------------------------------------------------
    def event(
        self,
        name: str,
        values: Mapping[str, Any],
        *,
        severity: str,
        body: str,
        time_ns: int | None = None,
        context: tuple[int, int] = (0, 0),
        uid: str | None = None,
        flags: int = 0,
        key: int = 0,
    ) -> None:
        """Record one event; ``context`` is (trace id, span id), ``flags`` and ``key`` as in ``spool.format``."""
        self.log(
            {semconv.LOG_RECORD_UID: uid, **values} if uid else values,
            severity=severity,
            body=body,
            event_name=name,
            time_ns=time_ns,
            context=context,
            flags=flags,
            key=key,
        )

    def start(self, start: Start, key: int) -> None:
        """Record that the delivery ``key`` has begun to run."""
        flags = _OPENS_BOTH if start["span_id"] else frame.OPENS
        self.write(Item(frame.START, flags, key, state.packed(start), b""))

    def plain_start(self, start: list[Any], key: int) -> None:
        """As ``start``, of an array of ``spool.plain``."""
        if writer := self._writer or self._ready():
            writer.write(Item(frame.START, _OPENS_BOTH, key, state.packed(start), b""))

    def end(self, start: Told, end: End, key: int, failure: bool = False) -> None:
        """Record how the delivery ``key``, which began with ``start``, ended, or its span, or both."""
        flags = (frame.CLOSES if end["event"] else 0) | (frame.OF_SPAN if end["span"] else 0)
        self._end(start, end, key, flags | (frame.FAILURE if failure else 0))

    def plain_end(self, start: list[Any], end: list[Any], key: int) -> None:
        """Record the success, and the span, of the delivery ``key``; both arrays are those of ``spool.plain``."""
        writer = self._writer
        if writer is not None and key in writer.open:
            writer.write(Item(frame.END, _CLOSES_BOTH, key, state.packed(end), b""))
        else:
            self._end(start, end, key, _CLOSES_BOTH)

    def _end(self, start: Told, end: End | list[Any], key: int, flags: int) -> None:
        writer = self._writer or self._ready()
        if writer is not None and key in writer.open:
            writer.write(Item(frame.END, flags, key, state.packed(end), b""))
            return
        # Its start is not in the spool (which was full then, say), or its end was told already.
        event, span = plain.ended(start, end)
        if event is not None:
            self.write(Item(frame.LOG, flags & ~frame.OF_SPAN, key, event, otlp.EVENTS_SCOPE))
        if span is not None:
            self.write(Item(frame.SPAN, flags & ~frame.CLOSES, key, span, otlp.SPANS_SCOPE))

    def log(
        self,
        values: Mapping[str, Any],
        *,
        severity: str,
        body: str,
        event_name: str | None = None,
        time_ns: int | None = None,
        context: tuple[int, int] = (0, 0),
        scope: str | None = None,
        flags: int = 0,
        key: int = 0,
        more: str = "",
    ) -> None:
        """Record one log line (or event); ``more``: attributes besides ``values``, made by ``otlp.encoded``."""
        if semconv.LOG_RECORD_UID not in values:
            values = {semconv.LOG_RECORD_UID: self.uid(), **values}
        payload = otlp.log_record(
            time_ns=time_ns or time.time_ns(),
            attributes=otlp.joined(otlp.encoded(values), more),
            body=body,
            severity_text=severity,
            event_name=event_name,
            trace_id=otlp.trace_hex(context[0]),
            span_id=otlp.span_hex(context[1]),
        )
        self.write(Item(frame.LOG, flags, key, payload, self._scope(scope, None) if scope else otlp.EVENTS_SCOPE))

    def describe(self, error: BaseException, text: str | None = None) -> dict[str, str]:
        """The ``exception.*`` attributes, redacted and bounded; ``text``: the traceback's, if it is there already."""
        return exceptions.describe(error, text, self.settings.text_max_bytes, self.redactor)

    def redacted(self, text: str) -> str:
        """Any text, redacted and bounded."""
        return cut_middle(text, self.settings.text_max_bytes, self.redactor.text)

    def arguments(self, text: Any) -> str | None:
        """The ``repr`` of arguments that a message carries, redacted and bounded; None when there is none to send."""
        if not self.settings.capture_args or not isinstance(text, str) or not text:
            return None
        return cut_middle(text, self.settings.args_max_bytes, self.redactor.text)

    def span(self, span: ReadableSpan, key: int = 0) -> None:
        """Record a span of the SDK that has ended; ``key``: the delivery whose span it is."""
        scope = span.instrumentation_scope
        packed = self._scope(scope.name, scope.version) if scope else otlp.EVENTS_SCOPE
        self.write(Item(frame.SPAN, frame.OF_SPAN if key else 0, key, otlp.sdk_span(span, self.redactor), packed))

    def write(self, item: Item) -> None:
        """Write what one frame holds to the spool."""
        if writer := self._writer or self._ready():
            writer.write(item)

    def uid(self) -> str:
        """A fresh ``log.record.uid``."""
        return f"{self._instance}-{next(self._uids):x}"

    def settle(self, key: int) -> None:
        """Remember that the main process has said how the delivery ``key`` ended."""
        self._settled[key] = None
        if len(self._settled) > _SETTLED_MOST:
            with contextlib.suppress(KeyError):
                self._settled.popitem(last=False)

    def is_settled(self, key: int) -> bool:
        """Whether ``settle(key)`` was called lately in this process."""
        return key in self._settled

    @property
    def folder(self) -> Path | None:
        """The family's folder in the spool; None while there is none."""
        return self._family.path if self._family and self._family.path.is_dir() else None

    def beside(self) -> "Recorder":
        """Another recorder into the same family, for a thread that can't share this one's locks."""
        other = Recorder(self.settings, self.app_name)
        other._family, other.role = self._family, Role.POOL_CHILD
        return other

    # --- the process's life -------------------------------------------------------------------------------------------
    def become_worker_main(self) -> None:
        """This process is a worker's main process; its pool's processes will join its family."""
        self.role = Role.WORKER_MAIN
        self._ready()

    def start_shipping(self) -> None:
        """Start the shipper of this process's family (once), or what keeps the spool for an agent."""
        with self._lock:
            if self._shipper is None and self._family and self._writer and self.role is not Role.POOL_CHILD:
                shipper = (Shipper if self.settings.ship else Keeper)(self.settings, self._family, self._writer)
                shipper.start()
                self._shipper = shipper

    def spool_counts(self) -> dict[str, int]:
        """Counts of the family for the heartbeat, by attribute name."""
        shipper = self._shipper
        if shipper is None:
            return {}
        total = shipper.counts()
        if self._writer:
            total.dropped.update(self._writer.missed)
        if self._unspooled:
            total.dropped[DROPPED_NO_SPOOL] += self._unspooled
        return {
            semconv.SPOOL_SHIPPED: total.shipped,
            semconv.SPOOL_SUPERSEDED: total.superseded,
            semconv.SPOOL_PENDING_BYTES: shipper.pending_bytes(),
            **{semconv.SPOOL_DROPPED_PREFIX + reason: count for reason, count in total.dropped.items()},
        }

    def before_close(self, callback: Callable[[], None]) -> None:
        """Call that before the process's end, as long as there is something to write to."""
        self._before_close.append(callback)

    def close(self) -> None:
        """Ship what is left for at most ``flush_timeout`` seconds; the rest stays in the spool for the next shipper."""
        for callback in self._before_close if self._writer else ():
            callback()
        with self._lock:
            writer, self._writer = self._writer, None
            shipper, self._shipper = self._shipper, None
            family, self._family = self._family, None
        if writer:
            writer.close()
        if shipper:
            shipper.stop(self.settings.flush_timeout)
        elif family and self.role is not Role.POOL_CHILD:
            family.release()
        if writer:
            _tell_left(writer)

    def end_child(self) -> None:
        """A pool's process ends in good order: a last try to write what waits in memory."""
        if self._writer and self.role is Role.POOL_CHILD:
            self._writer.flush()
            _tell_left(self._writer)

    # --- inside -------------------------------------------------------------------------------------------------------
    def _scope(self, name: str, version: str | None) -> bytes:
        packed = self._scopes.get((name, version))
        if packed is None:
            packed = self._scopes[name, version] = otlp.scope(name, version)
        return packed

    def _ready(self) -> SpoolWriter | None:
        """This process's writer, made at the first record; None for what is recorded while it is made."""
        with self._lock:
            if self._writer is None and not self._making:
                self._making = True
                try:
                    self._writer = self._make_writer()
                finally:
                    self._making = False
        if self._writer is None:
            self._unspooled += 1
        elif self.role is Role.SINGLE and self._shipper is None:
            self.start_shipping()
        return self._writer

    def _make_writer(self) -> SpoolWriter:
        described = otlp.resource(resource.of_process(self.settings, self.app_name, self._instance))
        process = f"{os.getpid()}-{self._instance[:8]}"
        if self._family is None:
            self._family = Family.named(self.settings.spool_dir, self.settings.ship)
            atexit.register(self.close)
        return SpoolWriter(
            self._family.path,
            process,
            described,
            self.settings.segment_max_bytes,
            self.settings.memory_queue_max_bytes,
            # The folder is its main process's; the pool's processes wait for it.
            prepare=(lambda: None) if self.role is Role.POOL_CHILD else self._family.mend,
        )

    def _new_instance(self) -> None:
        self._instance = secrets.token_hex(8)
        self._uids = itertools.count(1)

    def _after_fork(self) -> None:
        """In the child, before anything else runs there: no lock, descriptor or thread of the parent is ours."""
        self._lock = threading.RLock()
        self._making = False
        self.clock.renew_lock()
        if self._shipper:
            self._shipper.abandon()
            self._shipper = None
        self._settled.clear()
        self._new_instance()
        if self._writer:
            self._writer.abandon()
            self._writer = None
        if self._family:
            self._family.release()
        if self.role is Role.SINGLE:
            self._family = None
        else:
            self.role = Role.POOL_CHILD


def _tell_left(writer: SpoolWriter) -> None:
    if left := writer.waiting + writer.missed.total():
        logger.warning("celeryscope: %d records are lost with the process: the spool can't be written to", left)


def _forked(recorder: Recorder | None) -> None:
    if recorder is not None:
        recorder._after_fork()
