"""What must have become of the records in Kafka: read from the topics with the indexer's own functions."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.account.senders import sender
from celeryscope_pipelines.dead_letters import DeadLetter, read_dead_letters
from celeryscope_pipelines.decode import KIND_OF_TOPIC, content_type, decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.topic_reader import read_to_end
from celeryscope_pipelines.writes import Op


class Place(NamedTuple):
    """One document: the index or data stream, its id, and the version it must at least have (0: any)."""

    stream: str
    id: str
    version: int


class Expected(NamedTuple):
    """All documents that a record must have become; none where only a dead letter can stand for it."""

    places: tuple[Place, ...]
    kind: str
    """What it counts as: ``spans``, ``logs`` or ``snapshots``."""
    message: str = ""
    """The message in Kafka that holds it: ``topic/partition/offset``."""
    sender: str = ""
    """Service and host."""


TOPICS = (semconv.TOPIC_TRACES, semconv.TOPIC_LOGS)
ANONYMOUS = "#"
"""Stands between the place of a message and the number of a record in it that has no identity."""
_KINDS = {"traces": "spans", "logs": "logs"}
_ONLY_A_DEAD_LETTER = Expected((), "logs")


def expected_records(
    kafka: KafkaSettings, since: datetime | None, until: datetime | None, tenant: str | None
) -> Iterator[tuple[str, Expected]]:
    """(identity, what it must have become) of every record put into Kafka in this time, repeated ones too."""
    for topic in TOPICS:
        for message in read_to_end(kafka, topic, since, until):
            place = f"{topic}/{message.partition}/{message.offset}"
            try:
                decoded = decode(message.value or b"", KIND_OF_TOPIC[topic], place, content_type(message.headers))
            except Rejected:
                if tenant is None:
                    yield place, _ONLY_A_DEAD_LETTER._replace(message=place)
                continue
            for number in range(len(decoded.malformed) if tenant is None else 0):
                yield f"{place}{ANONYMOUS}malformed {number}", _ONLY_A_DEAD_LETTER._replace(message=place)
            for number, record in enumerate(decoded.records):
                if tenant in {None, record.origin.tenant}:
                    expected = _expected(record)._replace(message=place, sender=sender(record.origin.attributes))
                    yield record.identity or f"{place}{ANONYMOUS}{number}", expected


def _expected(record: Record) -> Expected:
    try:
        # A cluster's entity tells of many records; it is no proof of this one.
        writes = [write for write in documents_for(record) if write.op is not Op.FAILURE]
    except Rejected:
        return _ONLY_A_DEAD_LETTER
    kinds = {_KINDS.get(write.index.split("-", 1)[0]) for write in writes if write.op is Op.CREATE}
    kind = next((kind for kind in ("spans", "logs") if kind in kinds), "snapshots")
    return Expected(tuple(Place(write.index, write.id, write.version) for write in writes), kind)


def put_aside(kafka: KafkaSettings, absent: Collection[str]) -> dict[str, str]:
    """Of these identities those that are dead letters, with the reason."""
    found: dict[str, str] = {}
    of_message: dict[str, list[str]] = defaultdict(list)
    for identity in absent:
        of_message[identity.split(ANONYMOUS)[0]].append(identity)
    for letter in read_dead_letters(kafka) if absent else ():
        identities = {identity for identity in _identities(letter) if identity in absent}
        identities.update(of_message.get(f"{letter.topic}/{letter.partition}/{letter.offset}", ()))
        found |= dict.fromkeys(identities, letter.reason)
    return found


def _identities(letter: DeadLetter) -> list[str]:
    try:
        return [record.identity for record in decode(letter.value, letter.kind).records if record.identity]
    except (Rejected, KeyError):
        return []
