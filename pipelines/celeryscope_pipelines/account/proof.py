"""The proof itself: ask the senders, read Kafka, look up Elasticsearch, and see whether it balances."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import Unavailable
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.account.balance import Account, Workers
from celeryscope_pipelines.account.expected import TOPICS, Expected, expected_records, put_aside
from celeryscope_pipelines.account.lookup import Lookup
from celeryscope_pipelines.account.senders import of_heartbeats, of_spools
from celeryscope_pipelines.processes import of_collectors
from celeryscope_pipelines.settings import PipelineSettings
from celeryscope_pipelines.topic_reader import complete_since, expired

_PAUSE = 0.5
_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be proven."""

    since: datetime | None = None
    until: datetime | None = None
    """Records that were put into Kafka in this time."""
    tenant: str | None = None
    written: int | None = None
    """How many records were shipped, when somebody knows."""
    spools: tuple[Path, ...] = ()
    """Spools of all senders, when they are on this machine; else the workers' heartbeats are asked."""
    asked: PipelineSettings | None = None
    """Tells of the collectors to ask what they dropped."""

    @property
    def exact(self) -> bool:
        """Whether what was shipped is known without heartbeats."""
        return self.written is not None or bool(self.spools)


def prove(kafka: KafkaSettings, client: Elasticsearch, question: Question, wait: float = 0.0) -> Account:
    """The account; tried again until it balances, and while a server is away, for at most ``wait`` seconds.

    Raises Unavailable, Unauthorized or NotFound (no topics).
    """
    lookup, deadline = Lookup(client), time.monotonic() + wait
    while True:
        try:
            account, absent = _read(kafka, client, lookup, question)
            _settle(account, kafka, lookup, absent)
            if account.missing and not account.unaccounted:
                # The indexer may be about to write them; the next heartbeats may be among them.
                while account.missing and time.monotonic() < deadline:
                    time.sleep(_PAUSE)
                    _settle(account, kafka, lookup, absent)
                if time.monotonic() < deadline and not question.exact:
                    continue
        except Unavailable:
            # Also the first seconds of an index, whose shards are not there yet.
            if time.monotonic() >= deadline:
                raise
        else:
            if account.balanced or time.monotonic() >= deadline:
                return account
        time.sleep(_PAUSE)


def _read(
    kafka: KafkaSettings, client: Elasticsearch, lookup: Lookup, question: Question
) -> tuple[Account, dict[str, Expected]]:
    """All but the missing ones, and what was not found in Elasticsearch."""
    # First the senders: what they have shipped by now is in Kafka when it is read.
    account, absent = Account(workers=_workers(kafka, client, question)), dict[str, Expected]()
    for chunk in _chunks(kafka, question, account):
        found = lookup.found(chunk)
        account.doubled += len(found.doubled)
        account.found.update(chunk[identity].kind for identity in found.there)
        absent |= {identity: expected for identity, expected in chunk.items() if identity not in found.there}
    if question.asked:
        account.collectors = of_collectors(question.asked)
    account.letters_gone = expired(kafka, semconv.TOPIC_DEAD_LETTER)
    return account, absent


def _workers(kafka: KafkaSettings, client: Elasticsearch, question: Question) -> Workers | None:
    if question.written is not None:
        return Workers("stated", shipped=question.written)
    if question.spools:
        return of_spools(question.spools)
    # What Kafka has forgotten can't be compared with anything.
    begin = complete_since(kafka, TOPICS)
    since = max((time for time in (begin, question.since) if time), default=None)
    return of_heartbeats(client, since, question.until, question.tenant)


def _chunks(kafka: KafkaSettings, question: Question, account: Account) -> Iterator[dict[str, Expected]]:
    """Distinct records, some thousands at a time; counts them."""
    seen, chunk = set[bytes](), dict[str, Expected]()
    for identity, expected in expected_records(kafka, question.since, question.until, question.tenant):
        account.in_kafka += 1
        digest = blake2b(identity.encode(), digest_size=12).digest()
        if digest in seen:
            continue
        seen.add(digest)
        account.distinct += 1
        account.by_sender[expected.sender] += 1
        chunk[identity] = expected
        if len(chunk) >= _AT_ONCE:
            yield chunk
            chunk = {}
    yield chunk


def _settle(account: Account, kafka: KafkaSettings, lookup: Lookup, absent: dict[str, Expected]) -> None:
    """Look up once more what was not there, and find the dead letters among it."""
    found = lookup.found(absent)
    account.doubled += len(found.doubled)
    for identity in found.there:
        account.found[absent.pop(identity).kind] += 1
    reasons = put_aside(kafka, absent)
    account.put_aside.clear()
    account.put_aside.update(reasons.values())
    account.missing = {identity: absent[identity].message for identity in absent if identity not in reasons}
