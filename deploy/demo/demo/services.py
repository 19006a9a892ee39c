"""The processes of the demo that are not servers from elsewhere: collector, indexer, the shop's worker and its beat.

All take their settings from one environment, so that a shell with the same environment can talk to all of them.
"""

import os
import sys
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import urllib3
from celery import Celery

from servers.process import LOOPBACK, Server

_BINARIES = Path(sys.executable).parent
_OURS = ("CELERYSCOPE_", "SHOP_", "OTEL_")


def environment_of_process(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `settings` in place of all of celeryscope, the shop and OpenTelemetry."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**inherited, **settings}


def program(name: str) -> str:
    """Path of a program of the virtual environment that runs this one."""
    return str(_BINARIES / name)


class Service(Server):
    """A process that is configured by `settings`, which its owner may still complete until it starts."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], port: int | None = None, *, detached: bool = False
    ) -> None:
        super().__init__(folder, port, detached=detached)
        self.settings = settings

    @abstractmethod
    def arguments(self) -> list[str]:
        """The command line."""

    def prepare(self) -> None:
        """Nothing to do."""

    def command(self) -> tuple[list[str], dict[str, Any]]:
        """The command line, in its own folder and with the settings as environment."""
        return self.arguments(), {"env": environment_of_process(self.settings), "cwd": self.folder}

    def _readyz(self) -> bool:
        answer = urllib3.request("GET", f"http://{LOOPBACK}:{self.port}/readyz", timeout=5, retries=False)
        return answer.status == 200


class Collector(Service):
    """`celeryscope collector run`; ready when Kafka is reachable for it."""

    name: ClassVar[str] = "collector"

    @property
    def url(self) -> str:
        """What senders take as their endpoint."""
        return f"http://{LOOPBACK}:{self.port}"

    def arguments(self) -> list[str]:
        """Host, port and tokens come from the environment."""
        return [program("celeryscope"), "collector", "run"]

    def ready(self) -> bool:
        """Whether /readyz says so."""
        return self._readyz()


class Indexer(Service):
    """`celeryscope indexer run`; its port is the one of /metrics and /readyz."""

    name: ClassVar[str] = "indexer"

    def arguments(self) -> list[str]:
        """Everything comes from the environment."""
        return [program("celeryscope"), "indexer", "run"]

    def ready(self) -> bool:
        """Whether /readyz says so."""
        return self._readyz()


class Worker(Service):
    """The shop's prefork worker with four children."""

    name: ClassVar[str] = "worker"

    def arguments(self) -> list[str]:
        """Without gossip and mingle: there are no other workers to wait for."""
        options = ["--pool", "prefork", "--concurrency", "4", "--loglevel", "INFO"]
        return [program("celery"), "-A", "shop.celery_app", "worker", *options, "--without-gossip", "--without-mingle"]

    def ready(self) -> bool:
        """Whether it answers a ping over the broker."""
        with Celery(broker=self.settings["SHOP_BROKER_URL"], set_as_current=False) as app:
            return bool(app.control.ping(timeout=1, limit=1))


class Beat(Service):
    """The shop's beat."""

    name: ClassVar[str] = "beat"

    def arguments(self) -> list[str]:
        """Its schedule lies in its own folder."""
        options = ["--schedule", str(self.folder / "schedule"), "--pidfile", "", "--loglevel", "INFO"]
        return [program("celery"), "-A", "shop.celery_app", "beat", *options]

    def ready(self) -> bool:
        """Whether it has said that it starts; there is nothing else to ask it."""
        return "beat: Starting" in self.tail(50)
