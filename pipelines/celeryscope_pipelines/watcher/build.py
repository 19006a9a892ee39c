"""The wiring of a watcher, to be read in a minute."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from elasticsearch import Elasticsearch

from celeryscope.service.elasticsearch import ElasticsearchSettings, connect
from celeryscope.service.kafka import KafkaSettings
from celeryscope.service.kibana_views import Kibana
from celeryscope.service.rules.adjusting import ActiveRule, settings_file
from celeryscope.service.rules.reading import read_rules
from celeryscope_pipelines.measurements import measure_kafka, measure_processes
from celeryscope_pipelines.settings import IndexerSettings, PipelineSettings, WatchSettings
from celeryscope_pipelines.watcher.incidents import Pace
from celeryscope_pipelines.watcher.lease import Lease
from celeryscope_pipelines.watcher.notifying import Notifier
from celeryscope_pipelines.watcher.watcher import Watcher

Measure = Callable[[datetime], None]


@dataclass(slots=True)
class Watching:
    """The parts of a watcher that its service runs."""

    client: Elasticsearch
    rules: tuple[ActiveRule, ...]
    watcher: Watcher
    lease: Lease
    measures: tuple[Measure, ...]
    """Each writes down a part of how the pipeline is."""

    def keep_lease(self) -> None:
        """In the midst of a turn; see ``Lease.keep``."""
        self.lease.keep(datetime.now(UTC).isoformat(), time.monotonic())


def build(settings: WatchSettings, elasticsearch: ElasticsearchSettings) -> Watching:
    """Nothing is sent yet. Raises ConfigError for rules, targets or settings that are wrong."""
    rules, adjustments = settings_file(settings.rules, read_rules())
    notifier = Notifier(settings.addresses)
    adjustments.require_targets(notifier.names)
    client = connect(elasticsearch)
    pace = Pace(timedelta(seconds=settings.renotify), timedelta(seconds=settings.group_interval))
    kibana = Kibana(settings.kibana_url, settings.kibana_space) if settings.kibana_url else None
    # The lease is written anew after a third of its time, at the latest when one more request has come to its end.
    timeout = settings.lease / 2
    watcher = Watcher(
        client,
        rules,
        settings.name,
        adjustments=adjustments,
        notifier=notifier,
        pace=pace,
        kibana=kibana,
        rule_timeout=timeout,
    )
    holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
    lease = Lease(client.options(request_timeout=timeout), settings.name, holder, settings.lease)
    return Watching(client, rules, watcher, lease, _measures(client) if settings.pipeline else ())


def _measures(client: Elasticsearch) -> tuple[Measure, ...]:
    kafka = partial(measure_kafka, client, KafkaSettings.load(), IndexerSettings.load().group_id)
    return kafka, partial(measure_processes, client, PipelineSettings.load().named)
