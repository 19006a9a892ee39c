"""The processes of the load, beside the demo's collector and indexer."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from celery import Celery

from chaos.progress import published
from demo.services import Service, program


class Worker(Service):
    """A prefork worker of one queue."""

    name: ClassVar[str] = "worker"

    def __init__(self, folder: Path, settings: Mapping[str, str], queue: str, concurrency: int) -> None:
        super().__init__(folder, settings)
        self.queue = queue
        self._concurrency = concurrency

    def arguments(self) -> list[str]:
        options = ["--pool", "prefork", "--concurrency", str(self._concurrency), "--loglevel", "WARNING"]
        alone = ["--queues", self.queue, "--hostname", self._host, "--without-gossip", "--without-mingle"]
        return [program("celery"), "-A", "chaos.application", "worker", *options, *alone]

    def ready(self) -> bool:
        """Whether it answers a ping over the broker."""
        with Celery(broker=self.settings["CHAOS_BROKER_URL"], set_as_current=False) as app:
            return bool(app.control.ping(destination=[self._host], timeout=1, limit=1))

    @property
    def _host(self) -> str:
        return f"{self.queue}@chaos"


class Publisher(Service):
    """Publishes the plan; ready when it has published something."""

    name: ClassVar[str] = "publisher"

    @property
    def file(self) -> Path:
        return Path(self.settings["CHAOS_PUBLISHED"])

    @property
    def orders(self) -> int:
        """How many orders were published so far."""
        return published(self.file)

    def prepare(self) -> None:
        self._before = self.orders

    def arguments(self) -> list[str]:
        return [sys.executable, "-m", "chaos.publisher"]

    def ready(self) -> bool:
        return self.orders > self._before
