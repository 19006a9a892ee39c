"""Asks Kafka, collectors and indexers how it goes; what does not answer is named, and no error."""

from collections import Counter
from datetime import datetime, timedelta

from celeryscope.errors import CeleryscopeError
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters import read_dead_letters
from celeryscope_pipelines.lag import PartitionLag, lag_of
from celeryscope_pipelines.measurements import LETTERS_WITHIN
from celeryscope_pipelines.processes import of_collectors, of_indexers
from celeryscope_pipelines.settings import IndexerSettings, PipelineSettings
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.pipeline import Pipeline


def ask_pipeline(store: Store, since: datetime, now: datetime) -> Pipeline:
    """The way to the index as it is now, with the dead letters since a time. Raises ConfigError for wrong settings."""
    kafka, settings, group = KafkaSettings.load(), PipelineSettings.load(), IndexerSettings.load().group_id
    unreachable: list[str] = []
    partitions: list[PartitionLag] = []
    letters: Counter[str] | None = None
    fresh: Counter[str] | None = None
    try:
        partitions = lag_of(kafka, group, now)
        letters, fresh = _letters(kafka, since, now - LETTERS_WITHIN)
    except CeleryscopeError as error:
        unreachable.append(str(error))
    indexers, silent = of_indexers(settings)
    unreachable += map(str, silent)
    collectors = of_collectors(settings)
    unreachable += collectors.silent
    return Pipeline(
        partitions=tuple(partitions),
        dead_letters=letters,
        fresh_letters=fresh,
        indexed_per_second=store.documents_since(now - timedelta(minutes=1)) / 60,
        collectors=collectors,
        indexers=tuple(indexers),
        unreachable=tuple(unreachable),
    )


def _letters(kafka: KafkaSettings, *since: datetime) -> tuple[Counter[str], ...]:
    """Dead letters by reason, since each of these times."""
    counts = tuple(Counter[str]() for _ in since)
    for letter in read_dead_letters(kafka, min(since)):
        for begin, count in zip(since, counts, strict=True):
            if letter.time >= begin:
                count[letter.reason] += 1
    return counts
