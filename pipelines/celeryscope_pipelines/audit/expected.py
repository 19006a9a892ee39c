"""What must have become of the records in Kafka: read from the topics with the indexer's own functions."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from celeryscope import semconv
from celeryscope.errors import Rejected
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters import read_dead_letters
from celeryscope_pipelines.decode import KIND_OF_TOPIC, decode
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


ANONYMOUS = "#"
"""Stands between the place of a message and the number of a record in it that has no identity."""
_KINDS = {"traces": "spans", "logs": "logs"}
_ONLY_A_DEAD_LETTER = Expected((), "logs")


def expected_records(
    kafka: KafkaSettings, since: datetime | None, tenant: str | None
) -> Iterator[tuple[str, Expected]]:
    """(identity, what it must have become) of every record in Kafka, repeated ones too."""
    for topic in (semconv.TOPIC_TRACES, semconv.TOPIC_LOGS):
        for message in read_to_end(kafka, topic, since):
            place = f"{topic}/{message.partition}/{message.offset}"
            try:
                records = decode(message.value or b"", KIND_OF_TOPIC[topic])
            except Rejected:
                if tenant is None:
                    yield place, _ONLY_A_DEAD_LETTER
                continue
            for number, record in enumerate(records):
                if tenant in {None, record.origin.tenant}:
                    yield record.identity or f"{place}{ANONYMOUS}{number}", _expected(record)


def _expected(record: Record) -> Expected:
    try:
        # A cluster's entity tells of many records; it is no proof of this one.
        writes = [write for write in documents_for(record) if write.op is not Op.FAILURE]
    except Rejected:
        return _ONLY_A_DEAD_LETTER
    kinds = {_KINDS.get(write.index.split("-", 1)[0]) for write in writes if write.op is Op.CREATE}
    kind = next((kind for kind in ("spans", "logs") if kind in kinds), "snapshots")
    return Expected(tuple(Place(write.index, write.id, write.version) for write in writes), kind)


def dead_identities(kafka: KafkaSettings) -> set[str]:
    """Identities of all dead letters; and the places of their messages, for what has no identity."""
    found: set[str] = set()
    for letter in read_dead_letters(kafka):
        found.add(f"{letter.topic}/{letter.partition}/{letter.offset}")
        try:
            found |= {record.identity for record in decode(letter.value, letter.kind) if record.identity}
        except (Rejected, KeyError):
            continue
    return found
