"""The audit itself: read Kafka, look up Elasticsearch, count."""

import time
from datetime import datetime

from elasticsearch import Elasticsearch

from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.audit.account import Account
from celeryscope_pipelines.audit.expected import ANONYMOUS, Expected, dead_identities, expected_records
from celeryscope_pipelines.audit.lookup import Lookup

_PAUSE = 0.5


def audit(
    kafka: KafkaSettings,
    client: Elasticsearch,
    *,
    since: datetime | None = None,
    tenant: str | None = None,
    written: int | None = None,
    wait: float = 0.0,
) -> Account:
    """The account of what is in Kafka (``since`` a time, of a ``tenant``), against ``written`` when that is known.

    Repeats itself until it balances, for at most ``wait`` seconds. Raises Unavailable, Unauthorized or NotFound.
    """
    lookup, deadline = Lookup(client), time.monotonic() + wait
    while True:
        account = _once(kafka, lookup, since, tenant)
        account.written = written
        if account.balanced or time.monotonic() >= deadline:
            return account
        time.sleep(_PAUSE)


def _once(kafka: KafkaSettings, lookup: Lookup, since: datetime | None, tenant: str | None) -> Account:
    account, wanted = Account(), dict[str, Expected]()
    for identity, expected in expected_records(kafka, since, tenant):
        account.in_kafka += 1
        # A record that came twice may have been indexed the first time only: both are the same document.
        wanted.setdefault(identity, expected)
    account.distinct = len(wanted)
    there = lookup.found(wanted)
    for identity in there:
        account.found[wanted[identity].kind] += 1
    absent = wanted.keys() - there
    dead = dead_identities(kafka) if absent else set()
    put_aside = {identity for identity in absent if identity in dead or identity.split(ANONYMOUS)[0] in dead}
    account.dead_letters = len(put_aside)
    account.missing = sorted(absent - put_aside)
    return account
