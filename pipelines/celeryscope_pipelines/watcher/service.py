"""The watcher as a process: signals, the clock, the order of starting and stopping."""

import logging
import signal
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from threading import Event

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import CeleryscopeError, ConfigError, Unavailable
from celeryscope.service.elasticsearch import ElasticsearchSettings, our_errors
from celeryscope_pipelines.health import HealthServer
from celeryscope_pipelines.settings import WatchSettings
from celeryscope_pipelines.watcher import metrics
from celeryscope_pipelines.watcher.alerts import Change
from celeryscope_pipelines.watcher.build import Measure, Watching, build
from celeryscope_pipelines.watcher.store import Outdated

logger = logging.getLogger(__name__)

_MEASURE_INTERVAL = 15.0
_NOT_ASKED = "A part of the pipeline could not be asked; all rules that do not need it are evaluated."


def run(settings: WatchSettings, elasticsearch: ElasticsearchSettings) -> None:
    """Watch until SIGTERM or SIGINT; then let another watcher take over at once, and return.

    Raises one of celeryscope.errors when it can't start. What goes wrong later is logged, and tried again.
    """
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watching = build(settings, elasticsearch)
    _require_setup(watching.client)
    turns = _Turns(watching)
    health = HealthServer(
        settings.http_host,
        settings.http_port,
        lambda: turns.trouble,
        metrics.registry,
        "CELERYSCOPE_WATCH_HTTP_PORT",
    )
    logger.info("The watcher runs; health and metrics on http://%s:%d", settings.http_host, health.port)
    try:
        while not stop.is_set():
            turns.take()
            stop.wait(settings.interval)
    finally:
        turns.end()
        health.close()
        watching.client.close()
    logger.info("The watcher has stopped.")


def run_once(settings: WatchSettings, elasticsearch: ElasticsearchSettings) -> list[Change]:
    """Evaluate all rules once, tell people, and return what changed; for cron. A Kafka that is away is logged only.

    Raises Unavailable when another watcher is active, and one of celeryscope.errors for what goes wrong.
    """
    watching = build(settings, elasticsearch)
    _require_setup(watching.client)
    now = datetime.now(UTC)
    if not watching.lease.hold(now.isoformat(), time.monotonic()):
        raise Unavailable(f"Another watcher is active: {watching.lease.held_by}. Nothing was evaluated.")
    try:
        for _, error in _failing(watching.measures, now):
            logger.warning("%s %s", _NOT_ASKED, error)
        return watching.watcher.tick(now, watching.keep_lease)
    finally:
        watching.lease.release(now.isoformat())
        watching.client.close()


class _Turns:
    """One turn after the other, active or not; what fails is told once, and ``trouble`` names it while it lasts."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._was_active = False
        self._measured_at = 0.0
        self._silent = frozenset[Measure]()
        self.trouble = "not started yet"

    def take(self) -> None:
        """Keep or win the lease, and evaluate what is due if it is ours."""
        try:
            self._take()
        except CeleryscopeError as error:
            if self.trouble != str(error):
                logger.error("No rules were evaluated; this is tried again: %s", error)
            self.trouble = str(error)
        else:
            self.trouble = ""

    def end(self) -> None:
        """Give the lease back."""
        try:
            self._watching.lease.release(datetime.now(UTC).isoformat())
        except CeleryscopeError as error:
            logger.warning("The lease could not be given back; another watcher waits until it ends: %s", error)

    def _take(self) -> None:
        now = datetime.now(UTC)
        active = self._watching.lease.hold(now.isoformat(), time.monotonic())
        if active != self._was_active:
            logger.info("This watcher is active." if active else f"Active is {self._watching.lease.held_by}.")
            self._watching.watcher.forget()
        self._was_active = active
        metrics.active.set(active)
        if not active:
            return
        self._measure(now)
        try:
            for change in self._watching.watcher.tick(now, self._watching.keep_lease):
                logger.info("%s: %s %s", change.status, change.alert.rule, change.alert.message)
        except Outdated as error:
            logger.warning("%s This one waits.", error)

    def _measure(self, now: datetime) -> None:
        if time.monotonic() - self._measured_at < _MEASURE_INTERVAL:
            return
        self._measured_at = time.monotonic()
        failing = dict(_failing(self._watching.measures, now))
        for measure in failing.keys() - self._silent:
            logger.warning("%s (Told once.) %s", _NOT_ASKED, failing[measure])
        self._silent = frozenset(failing)


def _failing(measures: Iterable[Measure], now: datetime) -> Iterator[tuple[Measure, CeleryscopeError]]:
    """Measure all, and tell which could not be."""
    for measure in measures:
        try:
            measure(now)
        except CeleryscopeError as error:
            yield measure, error


@our_errors()
def _require_setup(client: Elasticsearch) -> None:
    """Without our template the state would be searched by guess."""
    if not client.indices.exists(index=semconv.INDEX_WATCHER):
        raise ConfigError(f"Elasticsearch has no index {semconv.INDEX_WATCHER}. Run `celeryscope setup` first.")
