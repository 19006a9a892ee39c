"""Kafka and Elasticsearch as the benchmarks of the indexer use them: filling topics, counting documents, indexers."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import orjson
import urllib3
from kafka import KafkaProducer

from celeryscope import semconv
from measuring import MeasurementFailed
from pipeline import mix
from pipeline.bench import Bench
from support.commands import IndexerProcess, celeryscope, environment

TIMEOUT: Final = 300.0
_POLL: Final = 0.05
TOPICS: Final = (semconv.TOPIC_TRACES, semconv.TOPIC_LOGS)


class Target:
    """Topics and templates of `celeryscope setup`, and what the benchmarks do with them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.environ = environment(
            bench.kafka.bootstrap_servers,
            bench.elasticsearch.url,
            # A stopped indexer stays in its group until it is let go.
            CELERYSCOPE_INDEXER_SESSION_TIMEOUT="60",
        )
        done = celeryscope(self.environ, "setup")
        if done.returncode:
            raise MeasurementFailed(f"celeryscope setup: {done.stderr}")
        self._http = urllib3.PoolManager(maxsize=16)

    def fill(self, messages: Iterable[mix.Message]) -> int:
        """Put messages into Kafka, as our collector does; how many bytes they have."""
        size = 0
        with KafkaProducer(
            bootstrap_servers=self.bench.kafka.bootstrap_servers, compression_type="zstd", linger_ms=20
        ) as producer:
            for message in messages:
                partition = message.partition % len(producer.partitions_for(message.topic))
                headers = [("content-type", b"application/json")]
                producer.send(message.topic, message.value, partition=partition, headers=headers)
                size += len(message.value)
            producer.flush()
        return size

    def post(self, bodies: Sequence[bytes], connections: int) -> float:
        """Post ready-made bulk bodies, so many at a time; the seconds until Elasticsearch has taken all of them."""

        def one(body: bytes) -> None:
            answer = self.request("POST", "/_bulk?filter_path=errors", body)
            if answer["errors"]:
                raise MeasurementFailed("Elasticsearch refuses documents that are posted directly.")

        begin = time.monotonic()
        with ThreadPoolExecutor(connections) as threads:
            for done in [threads.submit(one, body) for body in bodies]:
                done.result()
        return time.monotonic() - begin

    def request(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Elasticsearch's answer; 404 is None."""
        answer = self._http.request(
            method,
            self.bench.elasticsearch.url + path,
            body=body,
            headers={"content-type": "application/x-ndjson" if path.startswith("/_bulk") else "application/json"},
            timeout=60,
            retries=False,
        )
        if answer.status == 404:
            return None
        if answer.status >= 300:
            raise MeasurementFailed(f"Elasticsearch answers {answer.status} to {method} {path}: {answer.data[:300]!r}")
        return orjson.loads(answer.data)

    def searchable(self, tenant: str) -> int:
        """Documents of the tenant that a search finds now, after a refresh."""
        total = 0
        for index in (f"logs-celery.otel-{tenant}", f"traces-celery.otel-{tenant}", f"{semconv.INDEX_TASKS}-*"):
            if self.request("POST", f"/{index}/_refresh") is None:
                continue
            query = {"term": {semconv.TENANT: tenant}} if index.endswith("*") else {"match_all": {}}
            total += self.request("POST", f"/{index}/_count", orjson.dumps({"query": query}))["count"]
        return total

    def bytes_a_task(self) -> float:
        """On the disk of Elasticsearch, without replicas, as it is after all writes; of everything written so far."""
        streams = f"logs-celery.otel-*,traces-celery.otel-*,{semconv.INDEX_TASKS}-*"
        self.request("POST", f"/{streams}/_flush")
        size = self.request("GET", f"/{streams}/_stats/store")["_all"]["primaries"]["store"]["size_in_bytes"]
        tasks = self.request("POST", f"/{semconv.INDEX_TASKS}-*/_count", b"{}")["count"]
        return float(size / tasks)

    def bytes_in_kafka(self) -> int:
        """On the broker's disk, of both topics."""
        (data,) = self.bench.kafka.storage()
        logs = [file for topic in TOPICS for file in data.glob(f"{topic}-*/*.log")]
        return sum(file.stat().st_size for file in logs)

    @contextmanager
    def indexers(self, number: int = 1, **settings: str) -> Iterator[list[IndexerProcess]]:
        """Running indexers of a group of their own that have joined it."""
        folder = self.bench.new_folder("indexers")
        environ = self.environ | {f"CELERYSCOPE_INDEXER_{name.upper()}": value for name, value in settings.items()}
        running = [IndexerProcess(environ, folder / f"{place}.log") for place in range(number)]
        try:
            for indexer in running:
                try:
                    indexer.start()
                except AssertionError as error:
                    raise MeasurementFailed(f"{error}; see {indexer.log}") from error
            yield running
        finally:
            for indexer in running:
                if getattr(indexer, "process", None) is not None and indexer.process.poll() is None:
                    indexer.process.send_signal(signal.SIGCONT)
                    indexer.stop()


def wait_for(condition: Callable[[], bool], what: str, pause: float = _POLL) -> None:
    """Return when it is so. Raises MeasurementFailed when it takes more than five minutes."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise MeasurementFailed(f"Not within {TIMEOUT:g} s: {what}.")
        time.sleep(pause)
