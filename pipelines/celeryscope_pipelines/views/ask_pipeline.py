"""Asks Kafka, collectors and indexers how it goes; what does not answer is named, and no error."""

from collections import Counter
from datetime import datetime, timedelta

from celeryscope.errors import CeleryscopeError, Unavailable
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.account.collectors import of_collectors
from celeryscope_pipelines.dead_letters import read_dead_letters
from celeryscope_pipelines.exposition import read_exposition
from celeryscope_pipelines.lag import PartitionLag, lag_of
from celeryscope_pipelines.measurements import LETTERS_WITHIN
from celeryscope_pipelines.settings import IndexerSettings, PipelineSettings
from celeryscope_pipelines.views.fetch import Store
from celeryscope_pipelines.views.pipeline import IndexerTold, Pipeline

_PREFIX = "celeryscope_indexer"


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
    indexers: list[IndexerTold] = []
    for url in settings.indexer_urls:
        try:
            indexers.append(_indexer(url))
        except Unavailable as error:
            unreachable.append(str(error))
    collectors = of_collectors(settings.collector_urls)
    unreachable += [f"the collector {url} tells nothing." for url in collectors.unreachable]
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


def _indexer(url: str) -> IndexerTold:
    told = read_exposition(url)
    documents = told.by(f"{_PREFIX}_documents_total", "result")
    return IndexerTold(
        url=url,
        waiting=told.total(f"{_PREFIX}_waiting") > 0,
        written=documents["written"],
        unchanged=documents["unchanged"],
        dead_letters=told.by(f"{_PREFIX}_dead_letters_total", "reason"),
        retries=told.by(f"{_PREFIX}_retries_total", "reason"),
    )
