"""All processes of a run in one folder, and the wires between them."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from redis import Redis as RedisClient

from celeryscope.errors import Unavailable
from celeryscope_collector.tokens import hash_of, new_token
from chaos import brokers
from chaos.brokers import Cluster
from chaos.links import Link
from chaos.plan import CRAMPED, ROOMY
from chaos.processes import Publisher, Worker
from demo.services import Collector, Indexer, environment_of_process, program
from servers import Elasticsearch, Redis, Server
from servers.process import LOOPBACK
from support.disks import Disk
from support.proxy import Proxy

TENANT = "chaos"
_TESTS = Path(__file__).parent.parent
_DISK = "size=1m"
_HURRIED = 300
_CRAMPED = {
    "CELERYSCOPE_SPOOL_MAX_BYTES": "65536",
    "CELERYSCOPE_SEGMENT_MAX_BYTES": "16384",
    "CELERYSCOPE_MEMORY_QUEUE_MAX_BYTES": "8192",
}


class Stack:
    """Started by entering it; whatever happens, nothing of it is left behind."""

    def __init__(self, folder: Path, *, seed: int, brokers_count: int = 3) -> None:
        self.folder = folder
        self.disk = Disk(folder / "disk", _DISK)
        self.kafka = Cluster(folder / "kafka", brokers_count)
        self.elasticsearch = Elasticsearch(folder / "elasticsearch", heap_megabytes=1024)
        self.redis = Redis(folder / "redis")
        self._token = new_token()
        self._to_elasticsearch = Proxy(self.elasticsearch.port)
        settings: dict[str, str] = {}
        self.collector = Collector(folder / "collector", settings)
        settings |= self._collector_settings()
        self._to_collector = Proxy(self.collector.port)
        self.indexers = [self._indexer(number) for number in (1, 2)]
        load = self._load_settings() | {"CHAOS_SEED": str(seed), "CHAOS_RATE": str(_HURRIED)}
        small = load | _CRAMPED | {"CELERYSCOPE_SPOOL_DIR": str(self.small_spool)}
        self.worker = Worker(folder / ROOMY, load, ROOMY, concurrency=2)
        self.cramped = Worker(folder / CRAMPED, small, CRAMPED, concurrency=1)
        self.publisher = Publisher(folder / "publisher", load)
        self._cleaning = ExitStack()

    @property
    def services(self) -> dict[str, Server]:
        """The product's processes and the load's, by name; those first that others send to."""
        indexers = {f"indexer {number}": indexer for number, indexer in enumerate(self.indexers, 1)}
        load = {"worker": self.worker, "cramped worker": self.cramped, "publisher": self.publisher}
        return {"collector": self.collector, **indexers, **load}

    @property
    def servers(self) -> dict[str, Server]:
        """What the product runs on, but for Redis: the load itself needs that."""
        numbered = {f"broker {broker.number}": broker for broker in self.kafka.brokers}
        return {**numbered, "elasticsearch": self.elasticsearch}

    @property
    def links(self) -> list[Link]:
        return [
            Link("shipper - collector", [self._to_collector]),
            Link("collector - Kafka", self.kafka.proxies(brokers.COLLECTOR)),
            Link("indexer - Kafka", self.kafka.proxies(brokers.INDEXER)),
            Link("indexer - Elasticsearch", [self._to_elasticsearch]),
        ]

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        everything = [*self.services.values(), *self.servers.values(), self.redis]
        with _uninterrupted(), self._cleaning, ThreadPoolExecutor() as pool:
            # What still runs now has nothing left to say, or the run has failed.
            list(pool.map(Server.kill, everything))
            list(pool.map(Server.discard, everything))

    @property
    def ended(self) -> list[str]:
        """The names of those that don't run."""
        return [name for name, process in (self.servers | self.services).items() if not process.alive]

    def heal(self) -> None:
        """Start whatever doesn't run, and return when all are ready. Raises Unavailable when they are not in time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, self.servers.values()))
        self.kafka.wait_in_sync()
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, self.services.values()))

    def pace(self, orders_per_second: float) -> None:
        """From the next start of the publisher on."""
        self.publisher.settings = {**self.publisher.settings, "CHAOS_RATE": str(orders_per_second)}

    def hurry(self, orders: int, timeout: float = 600) -> None:
        """Publish much faster until there are so many orders. Raises Unavailable."""
        self.publisher.stop()
        self.pace(_HURRIED)
        self.publisher.start()
        self._until(lambda: self.publisher.orders >= orders, timeout, "too little was published")

    def drain(self, timeout: float) -> None:
        """Stop the load, and return when both workers have done and shipped all of it. Raises Unavailable."""
        self.publisher.stop()
        self._until(lambda: not self._waiting(), timeout, "the queues are not empty")
        for name, spool in self.spools.items():
            self._until(
                lambda spool=spool: not self.spool_status(spool)["pending"], timeout, f"the {name} is not empty"
            )
        for worker in (self.worker, self.cramped):
            worker.stop(timeout=180)

    @property
    def spool(self) -> Path:
        """The one of the publisher and of the first worker."""
        return self.folder / "spool"

    @property
    def small_spool(self) -> Path:
        """The cramped worker's."""
        return self.disk.path / "spool"

    @property
    def spools(self) -> dict[str, Path]:
        """Both, by name."""
        return {"spool": self.spool, "small spool": self.small_spool}

    def spool_status(self, spool: Path) -> dict[str, Any]:
        """What ``celeryscope spool status`` says."""
        status: dict[str, Any] = json.loads(self.product("spool", "status", "--json", "--dir", str(spool)))
        return status

    def product(self, *arguments: str, allowed: tuple[int, ...] = (0,), timeout: float = 300) -> str:
        """Run a ``celeryscope`` command; its standard output. Raises Unavailable with what it says when it fails."""
        command = [program("celeryscope"), *arguments]
        environment = environment_of_process(self._command_settings())
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"celeryscope {arguments} did not end within {timeout:.0f} s") from None
        if done.returncode not in allowed:
            raise Unavailable(f"celeryscope {arguments} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def _start(self) -> None:
        try:
            self._cleaning.enter_context(self.disk)
            self.has_disk = True
        except pytest.skip.Exception:
            # Then the small spool lies on the disk that all others use, which nobody must fill.
            self.has_disk = False
        for context in (self.kafka, self._to_elasticsearch, self._to_collector):
            self._cleaning.enter_context(context)
        with ThreadPoolExecutor() as pool:
            starts = [pool.submit(start) for start in (self.kafka.start, self.elasticsearch.start, self.redis.start)]
        for started in starts:
            started.result()
        self.product("setup")
        (self.folder / "tokens.yaml").write_text(f"tokens: [{{tenant: {TENANT}, sha256: {hash_of(self._token)}}}]")
        for spool in (self.spool, self.small_spool):
            spool.mkdir(mode=0o700)
        self.heal()

    def _waiting(self) -> int:
        with RedisClient.from_url(self.redis.url) as client:
            return sum(client.llen(queue) for queue in (ROOMY, CRAMPED)) + client.hlen("unacked")

    @staticmethod
    def _until(condition: Callable[[], bool], timeout: float, problem: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise Unavailable(f"after {timeout:.0f} s, {problem}")
            time.sleep(0.5)

    def _load_settings(self) -> dict[str, str]:
        return {
            "PYTHONPATH": _python_path(),
            "CELERYSCOPE_ENDPOINT": f"http://{LOOPBACK}:{self._to_collector.port}",
            "CELERYSCOPE_TOKEN": self._token,
            "CELERYSCOPE_SPOOL_DIR": str(self.spool),
            "CELERYSCOPE_LOG_EXCLUDE": "celery",
            "CELERYSCOPE_LOG_RATE_LIMIT": "0",
            "CHAOS_BROKER_URL": self.redis.url,
            "CHAOS_PUBLISHED": str(self.folder / "published"),
        }

    def _collector_settings(self) -> dict[str, str]:
        return {
            "CELERYSCOPE_COLLECTOR_PORT": str(self.collector.port),
            "CELERYSCOPE_COLLECTOR_GRPC": "false",
            "CELERYSCOPE_COLLECTOR_TOKENS_FILE": str(self.folder / "tokens.yaml"),
            "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.behind(brokers.COLLECTOR),
        }

    def _indexer(self, number: int) -> Indexer:
        settings: dict[str, str] = {}
        indexer = Indexer(self.folder / f"indexer-{number}", settings)
        settings |= {
            "CELERYSCOPE_INDEXER_HTTP_PORT": str(indexer.port),
            "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.behind(brokers.INDEXER),
            "CELERYSCOPE_ELASTICSEARCH_URL": f"http://{LOOPBACK}:{self._to_elasticsearch.port}",
        }
        return indexer

    def _command_settings(self) -> dict[str, str]:
        return {
            "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.direct,
            "CELERYSCOPE_ELASTICSEARCH_URL": self.elasticsearch.url,
        }


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Whoever interrupts the end of all processes leaves half of them running."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _python_path() -> str:
    """The load's processes import this package."""
    return os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))
