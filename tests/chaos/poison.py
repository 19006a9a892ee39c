"""Messages that nobody can index, put straight into the topics."""

import json
from contextlib import closing
from typing import NamedTuple

from kafka import KafkaProducer

from celeryscope import semconv
from celeryscope_pipelines.kafka_errors import our_kafka_errors

_UNDECODABLE = (b"\x00\xff poison", b"[" * 10_000, b'{"resourceLogs": 7', b'{"resourceSpans": "poison"}', b"null")
_WITHOUT_IDENTITY = {
    semconv.TOPIC_LOGS: b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"poison"}}]}]}]}',
    semconv.TOPIC_TRACES: b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"poison"}]}]}]}',
}
_HEADERS = [("topic", b"\xff"), ("partition", b"first"), ("offset", b"")]


class Place(NamedTuple):
    """Where a message stands."""

    topic: str
    partition: int
    offset: int


class Poison:
    """Remembers what it has put where."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self.places: set[Place] = set()
        """Of the messages that must become dead letters."""

    def put(self) -> None:
        """Into each topic; in that of the dead letters it must hinder nobody from reading the others.

        Raises Unavailable.
        """
        with (
            our_kafka_errors(),
            closing(KafkaProducer(bootstrap_servers=self._servers.split(","), acks="all")) as producer,
        ):
            for topic, without_identity in _WITHOUT_IDENTITY.items():
                for value in (*_UNDECODABLE, without_identity):
                    sent = producer.send(topic, value).get(timeout=30)
                    self.places.add(Place(topic, sent.partition, sent.offset))
            for value in _UNDECODABLE:
                for headers in ([], _HEADERS):
                    producer.send(semconv.TOPIC_DEAD_LETTER, value, headers=headers).get(timeout=30)

    def without_letter(self, dead_letters: str) -> set[Place]:
        """The poisoned messages that are not among the dead letters, as ``dead-letter list --json`` shows these."""
        letters = json.loads(dead_letters)["letters"] if dead_letters else []
        return self.places - {Place(letter["topic"], letter["partition"], letter["offset"]) for letter in letters}
