"""What collectors accepted, refused and dropped on purpose, from their /metrics."""

from collections.abc import Iterable

from celeryscope.errors import Unavailable
from celeryscope_pipelines.account.balance import Collectors
from celeryscope_pipelines.exposition import read_exposition

_PREFIX = "celeryscope_collector_records"


def of_collectors(urls: Iterable[str]) -> Collectors:
    """The sum over the collectors that answer, since each of them started."""
    total = Collectors()
    for url in urls:
        try:
            told = read_exposition(url)
        except Unavailable:
            total.unreachable.append(url)
            continue
        total.reached.append(url)
        total.received += int(told.total(f"{_PREFIX}_received_total"))
        total.unavailable += int(told.total(f"{_PREFIX}_unavailable_total"))
        total.accepted += int(told.total(f"{_PREFIX}_accepted_total"))
        total.refused += told.by(f"{_PREFIX}_refused_total", "reason")
        total.dropped += told.by(f"{_PREFIX}_dropped_total", "processor")
    return total
