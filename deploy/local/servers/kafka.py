"""Kafka: one broker that is its own controller (KRaft)."""

import base64
import socket
import subprocess
import uuid
from pathlib import Path
from typing import Any, ClassVar

from kafka.admin import KafkaAdminClient

from celeryscope.errors import Unavailable
from servers.download import copy_files, distribution
from servers.java import java
from servers.process import LOOPBACK, Server, free_port

_VERSION = "4.1.2"

# Tests and demo start many consumer groups: no delay before a group's first rebalance, few internal partitions.
# A killed broker comes back only when its old session is over: a short one makes restarts quick.
QUICK = """\
process.roles=broker,controller
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
"""
"""Properties of any broker here, alone or in a cluster."""

_ALONE = """\
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""

_LOG4J = """\
<Configuration status="error">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %-5p %c: %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


class Kafka(Server):
    """A broker without topics; none is created by itself."""

    name: ClassVar[str] = "kafka"
    heap_megabytes: ClassVar[int] = 384

    def __init__(self, folder: Path, port: int | None = None, *, detached: bool = False) -> None:
        super().__init__(folder, port, detached=detached)
        self.controller_port = free_port()
        self.data = self.folder / "data"
        self._properties = self.folder / "server.properties"

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``."""
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration; format the storage at the first start. Raises Unavailable when that fails."""
        self._properties.write_text(self.properties())
        (self.folder / "log4j2.xml").write_text(_LOG4J)
        if (self.data / "meta.properties").exists():
            return
        # With "=", since the id may begin with a dash.
        options = [f"--cluster-id={self.cluster_id()}", f"--config={self._properties}"]
        arguments = ["kafka.tools.StorageTool", "format", *options]
        done = subprocess.run([*self._java(), *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"Kafka's storage in {self.data} can't be formatted: {done.stderr or done.stdout}")

    def properties(self) -> str:
        """The content of ``server.properties``."""
        return QUICK + _ALONE.format(
            host=LOOPBACK, port=self.port, controller_port=self.controller_port, data=self.data.as_posix()
        )

    def cluster_id(self) -> str:
        """The id that the storage is formatted with; all brokers of a cluster have the same."""
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def command(self) -> tuple[list[str], dict[str, Any]]:
        """``kafka.Kafka`` on our Java."""
        return [*self._java(), "kafka.Kafka", str(self._properties)], {}

    def storage(self) -> list[Path]:
        """Topics, messages and offsets."""
        return [self.data]

    def ready(self) -> bool:
        """Whether the broker tells about itself and its topics, as it does for every client."""
        # The client itself waits up to 30 s between its attempts; ask it only when there's someone to talk to.
        socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=5000)
        try:
            admin.list_topics()
            return bool(admin.describe_cluster()["brokers"])
        finally:
            admin.close()

    def _java(self) -> list[str]:
        libraries = distribution(self.name, _VERSION, copy_files)
        return [
            str(java()),
            "-Xms256m",
            f"-Xmx{self.heap_megabytes}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.xml'}",
            "-cp",
            f"{libraries}/*",
        ]
