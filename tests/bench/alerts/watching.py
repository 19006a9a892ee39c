"""The real watcher, told the simulated time; and the alerts that it left in ``celery-alerts``."""

import logging
import time
from datetime import UTC, datetime
from typing import Any

from elasticsearch import Elasticsearch

from alerts.scoring import Alert
from celeryscope import semconv
from celeryscope_pipelines.watcher.messages import Message
from celeryscope_pipelines.watcher.notifying import Notifier
from celeryscope_pipelines.watcher.watcher import Watcher

_ENTITIES = (semconv.TASK_NAME, semconv.WORKER, semconv.MESSAGING_DESTINATION, semconv.SCHEDULE)
_MOST = 10_000


class Person(Notifier):
    """Whoever is on call; keeps all messages."""

    def __init__(self) -> None:
        super().__init__({})
        self.messages: list[Message] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The one target that there is."""
        return ("on-call",)

    def knows(self, message: Message) -> bool:
        """See ``Notifier``."""
        return message.target in self.names

    def send(self, message: Message) -> bool:
        """See ``Notifier``."""
        self.messages.append(message)
        return True


class Watching:
    """Evaluates all shipped rules at the moments it is told."""

    def __init__(self, client: Elasticsearch, epoch: float) -> None:
        """``epoch``: POSIX time of the simulation's 0."""
        logging.basicConfig(level=logging.WARNING)
        self._client = client
        self._epoch = epoch
        self.person = Person()
        self.looks: list[float] = []
        """Real seconds that each evaluation of all rules took."""
        # Its time stands still while a rule is evaluated, as the world's does.
        self._watcher = Watcher(client, notifier=self.person, clock=lambda: 0.0)

    def tick(self, moment: float) -> None:
        """As of ``moment`` seconds after the begin."""
        begin = time.monotonic()
        self._watcher.tick(datetime.fromtimestamp(self._epoch + moment, UTC))
        self.looks.append(time.monotonic() - begin)

    def alerts(self) -> list[Alert]:
        """What fired, in order, from the index."""
        self._client.indices.refresh(index=semconv.INDEX_ALERTS)
        found = self._client.search(
            index=semconv.INDEX_ALERTS,
            query={"term": {semconv.ALERT_STATUS: "firing"}},
            sort=[{semconv.ALERT_FIRED_AT: "asc"}],
            size=_MOST,
        )
        return [alert_of(hit["_source"], self._epoch) for hit in found["hits"]["hits"]]


def alert_of(source: dict[str, Any], epoch: float) -> Alert:
    """An alert from its document in ``celery-alerts``; it may name several workers. ``epoch`` as of ``Watching``."""
    named = [source[key] for key in _ENTITIES if source.get(key)]
    return Alert(
        at=datetime.fromisoformat(source[semconv.ALERT_FIRED_AT]).timestamp() - epoch,
        rule=source[semconv.ALERT_RULE],
        service=source.get(semconv.SERVICE_NAME, ""),
        names=frozenset(str(name) for one in named for name in (one if isinstance(one, list) else [one])),
        message=source.get(semconv.ALERT_MESSAGE, ""),
        silent=semconv.ALERT_SILENCED_BY in source,
    )
