"""Failures on their way through the real parts of an indexer, without Kafka, and the commands that look at them."""

import json
import secrets
from threading import Event
from typing import Any, cast

from click.testing import CliRunner, Result

from celeryscope import semconv
from celeryscope.cli import main
from celeryscope_pipelines.dead_letters import DeadLetters
from celeryscope_pipelines.indexer.batch import Batch, Message
from celeryscope_pipelines.indexer.bulk import BulkWriter
from celeryscope_pipelines.indexer.clusters import FailureClusters
from celeryscope_pipelines.indexer.patience import Patience
from celeryscope_pipelines.indexer.pipeline import DeadLetterLimit, Pipeline
from support import messages
from support.search import client_of


class Shop:
    """A tenant whose tasks fail, and the people who look after them."""

    def __init__(self, url: str, tenant: str | None = None) -> None:
        self.url = url
        self.client = client_of(url)
        self.tenant = tenant or f"clusters-{secrets.token_hex(4)}"
        self.start_an_indexer()

    def start_an_indexer(self, interval: float = 0) -> None:
        """A new one, which knows nothing; the one before is dead."""
        patience = Patience(1, Event())
        # A dead letter would be an error of the test.
        no_letters = cast("DeadLetters", None)
        clusters = FailureClusters(self.client, interval)
        limit = DeadLetterLimit(1, 1)
        self.pipeline = Pipeline(BulkWriter(self.client, patience), clusters, no_letters, limit, patience)

    def failure(self, function: str = "charge", release: str | None = "1.0", **attributes: Any) -> Batch:
        """A failed attempt of shop.pay; what fails in another function is another cluster."""
        traceback = messages.TRACEBACK.replace("in charge", f"in {function}")
        event = messages.event(
            semconv.EVENT_TASK_FAILED,
            secrets.token_hex(16),
            **{"EXCEPTION_STACKTRACE": traceback, "MESSAGING_DESTINATION": "high", **attributes},
        )
        resource = {"SERVICE_VERSION": release} if release else {}
        value = messages.request("logs", self.tenant, event, **resource)
        return Batch([Message(semconv.TOPIC_LOGS, 0, 0, value)])

    def fails(self, function: str = "charge", release: str | None = "1.0", **attributes: Any) -> Batch:
        """It fails, and the indexer has written it; the batch, to be told again."""
        batch = self.failure(function, release, **attributes)
        self.pipeline.process(batch)
        self.client.indices.refresh(index=f"logs-celery.otel-{self.tenant},{semconv.INDEX_FAILURES},celery-tasks-*")
        return batch

    def entities(self) -> dict[str, dict[str, Any]]:
        """Of all clusters, by the function that failed."""
        self.client.indices.refresh(index=semconv.INDEX_FAILURES)
        query = {"term": {semconv.TENANT: self.tenant}}
        hits = self.client.search(index=semconv.INDEX_FAILURES, query=query, size=1000)["hits"]["hits"]
        return {hit["_source"][semconv.CULPRIT].rpartition(" ")[2]: hit["_source"] for hit in hits}

    def fingerprint(self, function: str = "charge") -> str:
        return str(self.entities()[function][semconv.FINGERPRINT])

    def failures(self, *arguments: str) -> Result:
        """``celeryscope failures`` with these arguments."""
        environment = {"CELERYSCOPE_ELASTICSEARCH_URL": self.url, "COLUMNS": "120", "TZ": "UTC"}
        return CliRunner().invoke(main, ["failures", *arguments, "--tenant", self.tenant], env=environment)

    def json(self, *arguments: str) -> Any:
        """What the command writes as JSON."""
        done = self.failures(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


def keep_failing(url: str, tenant: str, name: str, times: int) -> None:
    """An indexer in a process of its own, to which each failure comes twice, each time from another worker."""
    shop = Shop(url, tenant)
    for number in range(times):
        batch = shop.failure(release=f"1.{number % 3}", WORKER=f"celery@{name}-{number}")
        shop.pipeline.process(batch)
        shop.pipeline.process(batch)


def keep_deciding(url: str, tenant: str, name: str, times: int) -> None:
    """A person in a process of its own who can't make up their mind."""
    shop = Shop(url, tenant)
    fingerprint = shop.fingerprint()
    for number in range(times):
        command = ("ignore", "reopen")[number % 2]
        done = shop.failures(command, fingerprint, "--by", name, "--reason", f"thought {number}")
        assert done.exit_code == 0, done.output
