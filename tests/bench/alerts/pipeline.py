"""The real way from a worker to a searchable document: collector, Kafka, indexer and Elasticsearch as processes."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import urllib3
from elasticsearch import Elasticsearch as Client
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient

from alerts.world.telemetry import Told
from celeryscope import otlp, semconv
from collector_process import Collector
from measuring import MeasurementFailed
from servers import Elasticsearch, Kafka
from support.commands import IndexerProcess, celeryscope, environment

TENANT = "bench"
_GROUP = "celeryscope-indexer"
_KINDS = {
    "logs": (semconv.PATH_LOGS, otlp.EVENTS_SCOPE),
    "spans": (semconv.PATH_TRACES, otlp.SPANS_SCOPE),
}
_CLOCK = Path(__file__).parent / "clock"
_REQUEST_BYTES = 3 * 1024 * 1024
_PATIENCE = 120.0
_LOOK = 0.05
_HEAP_MEGABYTES = 1024


class Pipeline:
    """Takes what has reached the collector; tells when all of it can be searched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self.records = 0

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self.kafka = started.enter_context(Kafka(self._folder / "kafka"))
            self.elasticsearch = started.enter_context(
                Elasticsearch(self._folder / "elasticsearch", heap_megabytes=_HEAP_MEGABYTES)
            )
            # Simulated seconds pass faster than real ones: clusters are written with each batch.
            self.environ = environment(
                self.kafka.bootstrap_servers, self.elasticsearch.url, CELERYSCOPE_INDEXER_FAILURE_INTERVAL="0"
            )
            # A message for each step: many small ones would cost more than what is in them.
            self.command("setup", "--partitions", "1")
            self._collector = started.enter_context(
                Collector(self.kafka.bootstrap_servers, self._folder, self._simulated_time(), TENANT)
            )
            started.enter_context(IndexerProcess(self.environ, self._folder / "indexer.log"))
            self.client = started.enter_context(Client(self.elasticsearch.url, request_timeout=60))
            self._admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
            started.callback(self._admin.close)
            self._let_time_run_ahead()
            self._consumer = KafkaConsumer(bootstrap_servers=self.kafka.bootstrap_servers)
            started.callback(self._consumer.close)
            topics = (semconv.TOPIC_LOGS, semconv.TOPIC_TRACES)
            self._places = [
                TopicPartition(topic, number)
                for topic in topics
                for number in self._consumer.partitions_for_topic(topic)
            ]
            self._running = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def command(self, *arguments: str) -> None:
        """Run one of the product's commands. Raises MeasurementFailed when it fails."""
        done = celeryscope(self.environ, *arguments)
        if done.returncode:
            raise MeasurementFailed(f"celeryscope {' '.join(arguments)}: {done.stderr}")

    def feed(self, told: Told, at: float) -> None:
        """Post it to the collector, which answers when Kafka has it, as of ``at`` (POSIX time)."""
        self._set_clock(at)
        for kind, (path, scope) in _KINDS.items():
            for part in _parts(told[kind]):
                answer = self._collector.post(path, otlp.request(kind, {(key, scope): part[key] for key in part}))
                self._check(answer)
                self.records += sum(map(len, part.values()))

    def _simulated_time(self) -> dict[str, str]:
        """For the collector: ages are counted from when records came into Kafka, by its clock."""
        self._clock = self._folder / "clock"
        self._set_clock(time.time())
        paths = os.pathsep.join([str(_CLOCK), os.environ.get("PYTHONPATH", "")])
        return {"ALERTS_CLOCK": str(self._clock), "PYTHONPATH": paths}

    def _set_clock(self, at: float) -> None:
        # The collector reads it at any moment.
        written = self._clock.with_suffix(".new")
        written.write_text(str(at))
        written.replace(self._clock)

    def _let_time_run_ahead(self) -> None:
        """Kafka refuses messages that are stamped more than an hour ahead of its own clock."""
        topics = (semconv.TOPIC_LOGS, semconv.TOPIC_TRACES)
        allowed = {"message.timestamp.after.max.ms": str(2**62)}
        self._admin.alter_configs([ConfigResource("topic", topic, allowed) for topic in topics])

    def settle(self) -> None:
        """Return when all that was fed is found by a search."""
        ends = self._consumer.end_offsets(self._places)
        deadline = time.monotonic() + _PATIENCE
        while any(ends[place] > self._done().get(place, 0) for place in self._places):
            if time.monotonic() > deadline:
                raise MeasurementFailed(f"The indexer does not come to the end; see {self._folder}/indexer.log.")
            time.sleep(_LOOK)
        self.client.indices.refresh(index="celery-*,logs-celery.otel-*,traces-celery.otel-*")

    def _done(self) -> dict[TopicPartition, int]:
        offsets = self._admin.list_group_offsets({_GROUP: None})[_GROUP]
        return {place: max(found.offset, 0) for place, found in offsets.items()}

    def _check(self, answer: urllib3.BaseHTTPResponse) -> None:
        if answer.status != 200 or b"rejected" in answer.data:
            raise MeasurementFailed(f"The collector answers {answer.status}: {answer.data[:300]!r}")


def _parts(records: Mapping[bytes, list[bytes]]) -> Iterator[dict[bytes, list[bytes]]]:
    """Requests of a bounded size; what several processes tell comes in one request here."""
    part: dict[bytes, list[bytes]] = {}
    size = 0
    for resource, payloads in records.items():
        for payload in payloads:
            if size > _REQUEST_BYTES:
                yield part
                part, size = {}, 0
            part.setdefault(resource, []).append(payload)
            size += len(payload)
    if part:
        yield part
