"""Messages to documents as Elasticsearch's bulk API takes them: pure; nothing that a sender may send makes it raise.

Documents are written as JSON at once, record by record, so that what waits for Elasticsearch is bytes.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import orjson

from celeryscope.errors import Rejected
from celeryscope_pipelines.dead_letters import DeadLetter
from celeryscope_pipelines.decode import KIND_OF_TOPIC, Decoded, decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.indexer.batch import Batch, Item, Message, Transformed
from celeryscope_pipelines.records import Record
from celeryscope_pipelines.writes import Op, Write


class Refused(NamedTuple):
    """An item that Elasticsearch refuses for ever."""

    item: Item
    reason: str
    error: str


def transform(batch: Batch) -> Transformed:
    """The documents of all records of the batch, and dead letters for what has none."""
    result = Transformed()
    for message in batch.messages:
        try:
            decoded = _decoded(message)
        except Rejected as error:
            result.letters.append(_dead(message, message.value, error.reason, str(error)))
            continue
        result.records += len(decoded.records)
        for part in decoded.malformed:
            result.letters.append(_dead(message, part.value or message.value, "undecodable", part.error))
        for number, record in enumerate(decoded.records):
            try:
                writes = documents_for(record)
            except Rejected as error:
                result.letters.append(_letter(record, message, error.reason, str(error)))
                continue
            for write in writes:
                if write.op is Op.FAILURE:
                    result.failures.append(write)
                else:
                    result.items.append(_item(write, message, number))
    return result


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
    # Names of indices need no escaping, ids may.
    identity, body = orjson.dumps(write.id), orjson.dumps(write.body)
    if write.op is Op.CREATE:
        return Item(b"%b%b}}\n%b\n" % (_create(write.index), identity, body), message, number)
    lines = b'%b%b,"version":%d}}\n%b\n' % (_index(write.index), identity, write.version, body)
    return Item(lines, message, number, (write.index, write.id), write.version)


@lru_cache(maxsize=1024)
def _create(index: str) -> bytes:
    # Without its template a data stream would be made as an ordinary index, with mappings by guess.
    return b'{"create":{"_index":%s,"require_data_stream":true,"_id":' % orjson.dumps(index)


@lru_cache(maxsize=1024)
def _index(index: str) -> bytes:
    return b'{"index":{"_index":%s,"version_type":"external","_id":' % orjson.dumps(index)


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
