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


class Expected(NamedTuple):
    """The document that stands for a record; ``stream``: index or data stream, empty where only a dead letter can."""

    stream: str
    id: str
    version: int
    """At least this one, for a snapshot; 0 for a document that is written once."""
    kind: str
    """``spans``, ``logs`` or ``snapshots``."""


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
                    yield place, Expected("", "", 0, "logs")
                continue
            for number, record in enumerate(records):
                if tenant in {None, record.origin.tenant}:
                    yield record.identity or f"{place}#{number}", _expected(record)


def _expected(record: Record) -> Expected:
    try:
        # The first one stands for the record; a cluster's entity is never it.
        write = next(write for write in documents_for(record) if write.op is not Op.FAILURE)
    except (Rejected, StopIteration):
        return Expected("", "", 0, "logs")
    if write.op is Op.VERSIONED:
        return Expected(write.index, write.id, write.version, "snapshots")
    kind = "spans" if write.index.startswith(semconv.DATA_STREAM_TRACES) else "logs"
    return Expected(write.index, write.id, 0, kind)


def dead_identities(kafka: KafkaSettings) -> set[str]:
    """Identities of all dead letters; of a message that could not be decoded its place, of an anonymous record both."""
    found: set[str] = set()
    for letter in read_dead_letters(kafka):
        found.add(f"{letter.topic}/{letter.partition}/{letter.offset}")
        try:
            found |= {record.identity for record in decode(letter.value, letter.kind) if record.identity}
        except (Rejected, KeyError):
            continue
    return found
