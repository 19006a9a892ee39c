"""Messages to writes: pure, and nothing that a sender may send makes it raise."""

import orjson

from celeryscope.errors import Rejected
from celeryscope_pipelines.dead_letters import DeadLetter
from celeryscope_pipelines.decode import KIND_OF_TOPIC, decode
from celeryscope_pipelines.documents import documents_for
from celeryscope_pipelines.indexer.batch import Batch, Message, Sourced, Transformed
from celeryscope_pipelines.records import Record


def transform(batch: Batch) -> Transformed:
    """The writes of all records of the batch, and dead letters for what has none."""
    result = Transformed()
    for message in batch.messages:
        try:
            records = decode(message.value, KIND_OF_TOPIC[message.topic])
        except Rejected as error:
            result.letters.append(_dead(message, message.value, error.reason, str(error)))
            continue
        result.records += len(records)
        for record in records:
            try:
                result.writes += [Sourced(write, record, message) for write in documents_for(record)]
            except Rejected as error:
                result.letters.append(letter(record, message, error.reason, str(error)))
    return result


def letter(record: Record, message: Message, reason: str, error: str) -> DeadLetter:
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
