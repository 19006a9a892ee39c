"""The part of the overview that is about the way from the workers to the index: lag, ages, rates, drops, refusals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from celeryscope.service.terminal import plain_table
from celeryscope_pipelines.account.balance import Collectors
from celeryscope_pipelines.lag import PartitionLag, oldest_of
from celeryscope_pipelines.processes import IndexerTold
from celeryscope_pipelines.views.documents import iso
from celeryscope_pipelines.views.wording import Clock, counted, one_line


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is known now; a part that could not be asked is empty and named in ``unreachable``."""

    partitions: tuple[PartitionLag, ...] = ()
    dead_letters: Mapping[str, int] | None = None
    """By reason, of the overview's time; None when they could not be read."""
    fresh_letters: Mapping[str, int] | None = None
    """Likewise, of the last minutes: what is measured."""
    indexed_per_second: float = 0.0
    """Documents of spans and logs, during the last minute."""
    collectors: Collectors = field(default_factory=Collectors)
    indexers: tuple[IndexerTold, ...] = ()
    unreachable: tuple[str, ...] = ()
    """Why what is missing here is missing."""

    @property
    def behind(self) -> int:
        """Messages that no indexer has done yet."""
        return sum(partition.behind for partition in self.partitions)

    @property
    def forgotten(self) -> int:
        """Messages that Kafka forgot before an indexer had done them."""
        return sum(partition.forgotten for partition in self.partitions)


def render(pipeline: Pipeline, clock: Clock) -> Iterator[RenderableType]:
    """A few lines, and a table of the partitions that are behind."""
    yield Text("From the workers to the index", "bold")
    if pipeline.partitions:
        yield from _lag(pipeline, clock)
    yield Text(f"Indexed in the last minute: {pipeline.indexed_per_second:.1f} documents/s")
    told = pipeline.collectors
    if told.reached:
        yield _line("Collectors, since they started", {"accepted": told.accepted}, "")
        yield _line("  refused", told.refused, "yellow")
        yield _line("  dropped on purpose", told.dropped, "")
    for indexer in pipeline.indexers:
        repeated = {f"repeated ({why})": count for why, count in indexer.retries.items()}
        counts = {"written": indexer.written, "already there": indexer.unchanged, **repeated}
        yield _line(f"Indexer {one_line(indexer.url)}, since it started", counts, "")
        if indexer.waiting:
            yield Text("  it waits for a server that is away", "bold red")
    if pipeline.dead_letters is not None:
        yield _line("Dead letters", pipeline.dead_letters, "bold red")
    for why in pipeline.unreachable:
        yield Text(f"Not asked: {one_line(why)}", "yellow")


def _lag(pipeline: Pipeline, clock: Clock) -> Iterator[RenderableType]:
    arriving = sum(partition.arriving for partition in pipeline.partitions)
    behind, oldest = pipeline.behind, oldest_of(pipeline.partitions)
    waits = f"{counted(behind, 'message')} to index, the oldest {clock.ago(oldest)}" if behind else "all indexed"
    yield Text(f"Kafka: {waits}; {arriving:.1f} messages/s arriving", "yellow" if behind else "")
    if pipeline.forgotten:
        yield Text(f"{counted(pipeline.forgotten, 'message')} expired in Kafka before they were indexed", "bold red")
    table = plain_table("topic", "partition", "behind", "oldest", right=("partition", "behind"))
    for partition in pipeline.partitions:
        if partition.behind:
            since = clock.ago(partition.oldest)
            table.add_row(partition.topic, str(partition.partition), f"{partition.behind:,}", since)
    if behind:
        yield table


def _line(what: str, counts: Mapping[str, int], style: str) -> Text:
    named = ", ".join(f"{one_line(name)} {count:,}" for name, count in sorted(counts.items()))
    return Text(f"{what}: {named or 'nothing'}", style if named else "")


def as_dict(pipeline: Pipeline, now: datetime) -> dict[str, Any]:
    """The part for ``--json``; ages in seconds. What could not be asked is None: 0 would be good news."""
    oldest = oldest_of(pipeline.partitions)
    arriving = sum(partition.arriving for partition in pipeline.partitions)
    return {
        "behind": pipeline.behind if pipeline.partitions else None,
        "oldest_unread_seconds": _age(oldest, now),
        "messages_per_second": round(arriving, 3) if pipeline.partitions else None,
        "indexed_per_second": round(pipeline.indexed_per_second, 3),
        "expired_unread": pipeline.forgotten if pipeline.partitions else None,
        "partitions": [
            {
                "topic": partition.topic,
                "partition": partition.partition,
                "behind": partition.behind,
                "oldest_unread": iso(partition.oldest),
                "oldest_unread_seconds": _age(partition.oldest, now),
                "messages_per_second": round(partition.arriving, 3),
                "expired_unread": partition.forgotten,
            }
            for partition in pipeline.partitions
        ],
        "dead_letters": None if pipeline.dead_letters is None else dict(pipeline.dead_letters),
        "collectors": pipeline.collectors.as_dict(),
        "indexers": [
            {
                "url": indexer.url,
                "waiting": indexer.waiting,
                "written": indexer.written,
                "unchanged": indexer.unchanged,
                "dead_letters": dict(indexer.dead_letters),
                "retries": dict(indexer.retries),
            }
            for indexer in pipeline.indexers
        ],
        "not_asked": list(pipeline.unreachable),
    }


def _age(time: datetime | None, now: datetime) -> float | None:
    return None if time is None else round(max((now - time).total_seconds(), 0.0), 3)
