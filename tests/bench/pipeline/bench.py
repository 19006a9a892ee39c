"""What the parts share: a folder, how much is measured, and servers that start when the first part needs them."""

import argparse
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Self

from servers import Elasticsearch, Kafka

_HEAP_MEGABYTES = 1024


class Bench:
    """Kafka and Elasticsearch on loopback, each started when it is first asked for, stopped at the end."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        """``options.runs``: runs of each figure; ``options.quick``: fewer items a run.

        ``options.go_collector``: the binary of an OpenTelemetry Collector to measure beside ours, or "".
        ``options.soak_minutes``: how long the part ``soak`` takes.
        """
        self.folder = folder
        self.runs: int = options.runs
        self.quick: bool = options.quick
        self.go_collector: str = options.go_collector
        self.soak_minutes: int = options.soak_minutes
        self._servers = ExitStack()
        self._folders = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    @cached_property
    def kafka(self) -> Kafka:
        """One broker, without topics."""
        return self._servers.enter_context(Kafka(self.folder / "kafka"))

    @cached_property
    def elasticsearch(self) -> Elasticsearch:
        """One node with 1 GB of heap, without indices."""
        return self._servers.enter_context(Elasticsearch(self.folder / "elasticsearch", heap_megabytes=_HEAP_MEGABYTES))

    def new_folder(self, name: str) -> Path:
        """A folder that nothing else has."""
        self._folders += 1
        folder = self.folder / f"{self._folders:03d}-{name}"
        folder.mkdir(parents=True)
        return folder
