"""A Kafka cluster whose clients each come in by a door of their own, with a proxy in front of it.

A broker tells its clients where it can be reached by the listener they came in by. So all that the collector says to
any broker goes through the collector's proxies, whatever broker it begins with, and likewise for the indexers.
"""

import base64
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Self

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from celeryscope import semconv
from celeryscope.errors import Unavailable
from servers import Kafka
from servers.kafka import QUICK
from servers.process import LOOPBACK, free_port
from support.proxy import Proxy

COLLECTOR, INDEXER = "COLLECTOR", "INDEXER"
DOORS = (COLLECTOR, INDEXER)
_TOPICS = (semconv.TOPIC_TRACES, semconv.TOPIC_LOGS, semconv.TOPIC_DEAD_LETTER)

_PROPERTIES = """\
node.id={number}
controller.quorum.voters={voters}
listeners={listeners},CONTROLLER://{host}:{controller_port}
advertised.listeners={advertised}
listener.security.protocol.map=DIRECT:PLAINTEXT,COLLECTOR:PLAINTEXT,INDEXER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=DIRECT
log.dirs={data}
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
"""


class Broker(Kafka):
    """One of the brokers; ``port`` is that of the listener for other brokers and for the tests."""

    heap_megabytes: ClassVar[int] = 256

    def __init__(self, folder: Path, number: int, cluster: str) -> None:
        super().__init__(folder)
        self.number = number
        self.peers: Sequence[Broker] = ()
        self._cluster = cluster
        self._doors = {name: free_port() for name in DOORS}
        self.proxies = {name: Proxy(port) for name, port in self._doors.items()}

    def properties(self) -> str:
        """As one of its peers, with two copies in sync if there are three."""
        doors = {"DIRECT": self.port} | {name: proxy.port for name, proxy in self.proxies.items()}
        copies = len(self.peers)
        return QUICK + _PROPERTIES.format(
            number=self.number,
            voters=",".join(f"{peer.number}@{LOOPBACK}:{peer.controller_port}" for peer in self.peers),
            host=LOOPBACK,
            controller_port=self.controller_port,
            listeners=_addresses({"DIRECT": self.port} | self._doors),
            advertised=_addresses(doors),
            data=self.data.as_posix(),
            copies=copies,
            in_sync=2 if copies > 2 else 1,
        )

    def cluster_id(self) -> str:
        """That of its cluster."""
        return self._cluster


def _addresses(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items())


class Cluster:
    """Some brokers that know each other; used as a context for its proxies, which brokers need to be reached."""

    def __init__(self, folder: Path, size: int) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self.brokers = [Broker(folder / f"broker-{number}", number, cluster) for number in range(1, size + 1)]
        for broker in self.brokers:
            broker.peers = self.brokers
        self._proxies = ExitStack()

    def __enter__(self) -> Self:
        for broker in self.brokers:
            for proxy in broker.proxies.values():
                self._proxies.enter_context(proxy)
        return self

    def __exit__(self, *_: object) -> None:
        self._proxies.close()

    @property
    def direct(self) -> str:
        """Bootstrap servers without a proxy."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    def behind(self, door: str) -> str:
        """Bootstrap servers through the proxies of a door."""
        return ",".join(f"{LOOPBACK}:{broker.proxies[door].port}" for broker in self.brokers)

    def proxies(self, door: str) -> list[Proxy]:
        return [broker.proxies[door] for broker in self.brokers]

    def start(self) -> None:
        """Side by side: one broker alone has no quorum."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Broker.start, self.brokers))

    def wait_in_sync(self, timeout: float = 90) -> None:
        """Return when all copies are in sync, so that the next broker may fail. Raises Unavailable."""
        deadline = time.monotonic() + timeout
        while (behind := self._behind()) and time.monotonic() < deadline:
            time.sleep(0.5)
        if behind:
            raise Unavailable(f"after {timeout:.0f} s, copies are still not in sync: {behind}")

    def _behind(self) -> list[str]:
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.direct.split(","), request_timeout_ms=5000)
        except (KafkaError, OSError) as error:
            return [str(error)]
        try:
            return [
                f"{topic['name']}/{partition['partition_index']}"
                for topic in admin.describe_topics(list(_TOPICS))
                for partition in topic["partitions"]
                if len(partition["isr_nodes"]) < len(partition["replica_nodes"])
            ]
        except (KafkaError, OSError) as error:
            return [str(error)]
        finally:
            admin.close()
