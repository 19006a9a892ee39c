"""Messages hold every record once, in order, one partition each, below the size."""

import uuid
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from celeryscope_collector.encode import Encoder
from celeryscope_collector.partition import partition_key, partition_of
from celeryscope_collector.records import LOGS, TRACES, Origin, Record, Signal
from collector_samples import log_record, span


def records(texts: list[tuple[str, int]]) -> list[Record]:
    origins = [Origin({"attributes": []}, {"name": f"scope {n}"}, f"schema {n}" if n else "") for n in range(3)]
    return [
        Record(LOGS, origins[number % 3], log_record(celery__root_id=text, n=str(place)).item)
        for place, (text, number) in enumerate(texts)
    ]


def encode(records: list[Record], signal: Signal, partitions: int, max_bytes: int) -> Encoder:
    encoder = Encoder(signal, partitions, max_bytes)
    for record in records:
        encoder.add(record.origin, [record.item])
    encoder.finish()
    return encoder


def partition_for(record: Record, partitions: int) -> int:
    return partition_of(partition_key(record.item), partitions)


@given(
    st.lists(st.tuples(st.text(max_size=200), st.integers(0, 2)), max_size=60),
    st.integers(1, 8),
    st.integers(250, 3000),
)
def test_every_record_is_in_one_message_or_refused(
    texts: list[tuple[str, int]], partitions: int, max_bytes: int
) -> None:
    given_records = records(texts)
    encoded = encode(given_records, LOGS, partitions, max_bytes)

    assert all(len(message.value) <= max_bytes for message in encoded.messages)
    assert sum(message.records for message in encoded.messages) + encoded.refused.total() == len(texts)
    found = []
    for message in encoded.messages:
        for by_resource in orjson.loads(message.value)["resourceLogs"]:
            (by_scope,) = by_resource["scopeLogs"]
            for item in by_scope["logRecords"]:
                found.append(item)
                (record,) = [record for record in given_records if record.item == item]
                assert partition_for(record, partitions) == message.partition
                assert by_scope["scope"] == record.origin.scope
                assert by_scope.get("schemaUrl", "") == record.origin.scope_schema
    if not encoded.refused:
        assert sorted(map(str, found)) == sorted(str(record.item) for record in given_records)


def test_records_of_one_origin_share_one_resource() -> None:
    origin = Origin({"attributes": []}, {"name": "test"})
    same = [Record(LOGS, origin, log_record(celery__root_id="r", n=str(n)).item) for n in range(50)]
    (message,) = encode(same, LOGS, 4, 900_000).messages
    assert message.value.count(b'"resource"') == 1
    assert [item["attributes"][1]["value"]["stringValue"] for item in _items(message.value)] == [
        str(n) for n in range(50)
    ]


def test_the_partition_is_the_workflows_else_the_traces_else_the_records_own() -> None:
    assert partition_key(span(celery__root_id="root").item) == "root"
    assert partition_key(span().item) == "1" * 32
    assert partition_key(log_record(log__record__uid="uid").item) == "uid"


def test_a_workflow_stays_in_its_partition_for_ever() -> None:
    # Constants on purpose: a change would tear running workflows apart.
    assert [partition_for(span(celery__root_id=f"root-{n}"), 12) for n in range(6)] == [7, 5, 7, 9, 10, 0]


def test_workflows_spread_over_all_partitions() -> None:
    counts = [0] * 8
    for n in range(800):
        root = str(uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))
        counts[partition_for(span(celery__root_id=root), 8)] += 1
    assert min(counts) > 60


def test_spans_have_their_own_names() -> None:
    (message,) = encode([span()], TRACES, 1, 10_000).messages
    assert message.topic == "celeryscope.traces"
    assert orjson.loads(message.value)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] == "run/x"


def _items(value: bytes) -> list[dict[str, Any]]:
    return orjson.loads(value)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
