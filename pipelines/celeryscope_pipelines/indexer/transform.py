"""Messages to documents as Elasticsearch's bulk API takes them: pure; nothing that a sender may send makes it raise.

Documents are written as JSON at once, record by record, so that what waits for Elasticsearch is bytes.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

import orjson

from celeryscope.errors import Rejected
from celeryscope_pipelines.attributes import is_moment
from celeryscope_pipelines.dead_letters import DeadLetter
from celeryscope_pipelines.decode import KIND_OF_TOPIC, Decoded, decode, record_of
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.fingerprint import NO_RULES, FailureRules
from celeryscope_pipelines.indexer.batch import Batch, Item, Message, Transformed
from celeryscope_pipelines.indexer.lines import lines_of
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.shapes import SHAPES_OF_PROCESS, Shapes
from celeryscope_pipelines.shapes.cut import NotAsExpected, cut
from celeryscope_pipelines.shapes.shape import Place
from celeryscope_pipelines.writes import Op, Write


class Refused(NamedTuple):
    """An item that Elasticsearch refuses for ever."""

    item: Item
    reason: str
    error: str


def transform(
    batch: Batch, rules: FailureRules = NO_RULES, shapes: Mapping[str, Shapes] = SHAPES_OF_PROCESS
) -> Transformed:
    """The documents of all records of the batch, and dead letters for what has none; ``shapes`` are a memo."""
    result = Transformed()
    for message in batch.messages:
        done = _by_shape(message, rules, shapes) or by_decoding(message, rules)
        result.items += done.items
        result.failures += done.failures
        result.letters += done.letters
        result.records += done.records
    return result


def by_decoding(message: Message, rules: FailureRules) -> Transformed:
    """The documents and dead letters of any one message; nothing is known from earlier ones."""
    result = Transformed()
    try:
        decoded = _decoded(message)
    except Rejected as error:
        result.letters.append(_dead(message, message.value, error.reason, str(error)))
        return result
    result.records = len(decoded.records)
    for part in decoded.malformed:
        result.letters.append(_dead(message, part.value or message.value, "undecodable", part.error))
    for number, record in enumerate(decoded.records):
        record.arrived = message.timestamp
        _add(result, record, message, number, rules)
    return result


def _by_shape(message: Message, rules: FailureRules, known: Mapping[str, Shapes]) -> Transformed | None:
    """The same with shortcuts for records written like ones that were seen; None for messages that have to be parsed.

    The parts of a message that are no records, and log records without an id, are such.
    """
    if message.value[:1] != b"{" or not is_moment(message.timestamp * 1000):
        return None
    kind = KIND_OF_TOPIC[message.topic]
    shapes, result = known[kind], Transformed()
    try:
        for origin, texts in cut(message.value, kind):
            place = Place(origin, message.timestamp)
            for number, text in enumerate(map(bytes, texts), result.records):
                if (made := shapes.document(text, place)) is not None:
                    result.items.append(Item(made.lines, message, number, made.entity, made.version))
                elif (record := record_of(text, kind, origin)) is not None:
                    record.arrived = message.timestamp
                    if _add(result, record, message, number, rules) == 1:
                        shapes.learn(text, record.item, place)
                else:
                    return None
            result.records += len(texts)
    except (NotAsExpected, Rejected):
        return None
    return result


def _add(result: Transformed, record: Record, message: Message, number: int, rules: FailureRules) -> int:
    """What is to be written because of a record, or its dead letter; how many documents it has."""
    try:
        writes = documents_for(record, rules)
    except Rejected as error:
        result.letters.append(_letter(record, message, error.reason, str(error)))
        return 0
    for write in writes:
        if write.op is Op.FAILURE:
            result.failures.append(write)
        else:
            result.items.append(_item(write, message, number))
    return len(writes)


def letters_of(refused: Iterable[Refused]) -> list[DeadLetter]:
    """One dead letter for each record of which Elasticsearch refuses a document."""
    letters = []
    in_order = sorted(refused, key=lambda one: (one.item.message.place, one.item.record))
    for _, same in groupby(in_order, key=lambda one: one.item.message.place):
        by_record = {one.item.record: one for one in same}
        message = next(iter(by_record.values())).item.message
        records = _decoded(message).records
        letters += [_letter(records[at], message, one.reason, one.error) for at, one in by_record.items()]
    return letters


def _decoded(message: Message) -> Decoded:
    return decode(message.value, KIND_OF_TOPIC[message.topic], message.place, message.content_type)


def _item(write: Write, message: Message, number: int) -> Item:
    if write.op is Op.CREATE:
        return Item(lines_of(write), message, number)
    return Item(lines_of(write), message, number, (write.index, write.id), write.version)


def _letter(record: Record, message: Message, reason: str, error: str) -> DeadLetter:
    """The dead letter of one record; of its whole message when the record is nested too deeply to be written alone."""
    try:
        value = orjson.dumps(record.as_request())
    except TypeError:
        value = message.value
    return _dead(message, value, reason, error)


def _dead(message: Message, value: bytes, reason: str, error: str) -> DeadLetter:
    return DeadLetter(
        value=value,
        kind=KIND_OF_TOPIC[message.topic],
        reason=reason,
        error=error,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
    )
