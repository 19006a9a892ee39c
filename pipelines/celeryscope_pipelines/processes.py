"""What collectors and indexers tell on /metrics: all of them asked at once, those that do not answer named."""

import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from celeryscope.errors import Unavailable
from celeryscope_pipelines.account.balance import Collectors
from celeryscope_pipelines.addresses import Process, processes_at
from celeryscope_pipelines.exposition import Exposition, read_exposition
from celeryscope_pipelines.settings import PipelineSettings

_COLLECTOR = "celeryscope_collector_records"
_INDEXER = "celeryscope_indexer"
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class IndexerTold:
    """What one indexer tells on /metrics, since it started."""

    url: str
    waiting: bool
    """Whether it can write nothing now, because a server is away."""
    written: int
    unchanged: int
    dead_letters: Mapping[str, int]
    retries: Mapping[str, int]


def of_collectors(settings: PipelineSettings) -> Collectors:
    """The sum over the collectors that answer, since each of them started. Raises ConfigError for files of TLS."""
    total = Collectors()
    for process, told in _ask(settings.collector_urls, settings.tls()):
        if isinstance(told, Unavailable):
            total.unreachable[process.url] = str(told)
            continue
        total.reached.append(process.url)
        total.received += int(told.total(f"{_COLLECTOR}_received_total"))
        total.unavailable += int(told.total(f"{_COLLECTOR}_unavailable_total"))
        total.accepted += int(told.total(f"{_COLLECTOR}_accepted_total"))
        total.refused += told.by(f"{_COLLECTOR}_refused_total", "reason")
        total.dropped += told.by(f"{_COLLECTOR}_dropped_total", "processor")
    return total


def of_indexers(settings: PipelineSettings) -> tuple[list[IndexerTold], list[Unavailable]]:
    """What the indexers that answer tell, and why the others don't. Raises ConfigError for files of TLS."""
    told, silent = list[IndexerTold](), list[Unavailable]()
    for process, answer in _ask(settings.indexer_urls, settings.tls()):
        if isinstance(answer, Unavailable):
            silent.append(answer)
        else:
            told.append(_indexer(process.url, answer))
    return told, silent


def _ask(addresses: Iterable[str], tls: ssl.SSLContext) -> list[tuple[Process, Exposition | Unavailable]]:
    """Several at once: one that is away is waited for, and the watcher's rules wait for all."""
    asked = [process for address in addresses for process in processes_at(address)]
    if not asked:
        return []
    with ThreadPoolExecutor(min(len(asked), _AT_ONCE)) as pool:
        return list(zip(asked, pool.map(partial(_answer, tls), asked), strict=True))


def _answer(tls: ssl.SSLContext, process: Process) -> Exposition | Unavailable:
    try:
        return read_exposition(process, tls)
    except Unavailable as error:
        return error


def _indexer(url: str, told: Exposition) -> IndexerTold:
    documents = told.by(f"{_INDEXER}_documents_total", "result")
    return IndexerTold(
        url=url,
        waiting=told.total(f"{_INDEXER}_waiting") > 0,
        written=documents["written"],
        unchanged=documents["unchanged"],
        dead_letters=told.by(f"{_INDEXER}_dead_letters_total", "reason"),
        retries=told.by(f"{_INDEXER}_retries_total", "reason"),
    )
