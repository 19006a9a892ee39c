"""One batch from its messages to the moment when its offsets may be committed."""

import functools
import logging
import threading
import time
from collections import deque

from celeryscope.errors import CeleryscopeError
from celeryscope_pipelines.dead_letters import DeadLetter, DeadLetters
from celeryscope_pipelines.fingerprint import NO_RULES, FailureRules
from celeryscope_pipelines.indexer import metrics
from celeryscope_pipelines.indexer.batch import Batch
from celeryscope_pipelines.indexer.bulk import BulkWriter
from celeryscope_pipelines.indexer.clusters import FailureClusters
from celeryscope_pipelines.indexer.patience import Patience
from celeryscope_pipelines.indexer.transform import letters_of, transform

logger = logging.getLogger(__name__)


class TooManyDeadLetters(CeleryscopeError):
    """So many records can't be indexed that something must be broken; the indexer stops rather than put all aside."""


class DeadLetterLimit:
    """At most ``limit`` dead letters in ``window`` seconds; thread-safe."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def count(self, letters: list[DeadLetter]) -> None:
        """Raises TooManyDeadLetters when these are above the limit."""
        with self._lock:
            now = time.monotonic()
            self._times += [now] * len(letters)
            while self._times and self._times[0] < now - self._window:
                self._times.popleft()
            if len(self._times) > self._limit:
                last = letters[-1]
                raise TooManyDeadLetters(
                    f"More than {self._limit} dead letters within {self._window:g} s; the last one: {last.reason}: "
                    f"{last.error}. Nothing of them is committed. Run `celeryscope setup` if the cluster lacks our "
                    "templates; otherwise raise CELERYSCOPE_INDEXER_DEAD_LETTER_LIMIT."
                )


class Pipeline:
    """Transforms and writes one batch; called from several threads."""

    def __init__(
        self,
        bulk: BulkWriter,
        clusters: FailureClusters,
        dead_letters: DeadLetters,
        limit: DeadLetterLimit,
        patience: Patience,
        rules: FailureRules = NO_RULES,
    ) -> None:
        self._rules = rules
        self._patience = patience
        self._bulk = bulk
        self._clusters = clusters
        self._dead_letters = dead_letters
        self._limit = limit

    def process(self, batch: Batch) -> None:
        """Returns when every record of the batch is indexed or a dead letter.

        Blocks while a server is away. Raises Stopped or TooManyDeadLetters; then none of the batch may be committed.
        """
        transformed = transform(batch, self._rules)
        metrics.records.inc(transformed.records)
        refused = self._bulk.write(transformed.items)
        if letters := transformed.letters + letters_of(refused):
            self._put_aside(letters)
        if transformed.failures:
            self._clusters.add(transformed.failures)
            self.flush_clusters()

    def flush_clusters(self) -> None:
        """Write the failure clusters that are due; blocks while Elasticsearch is away. Raises Stopped."""
        self._patience.until_done(self._clusters.flush)

    def _put_aside(self, letters: list[DeadLetter]) -> None:
        self._limit.count(letters)
        for dead in letters:
            self._patience.until_done(functools.partial(self._dead_letters.send, dead))
            metrics.dead_letters.labels(dead.reason).inc()
            logger.error(
                "Dead letter from %s/%d/%d: %s: %s", dead.topic, dead.partition, dead.offset, dead.reason, dead.error
            )
