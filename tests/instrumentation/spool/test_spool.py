"""Writer and reader together: what was written is read exactly once, whatever dies in between."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from hypothesis import given, settings
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope.spool import format as frame
from celeryscope.spool import ledger
from celeryscope.spool.batch import Batch
from celeryscope.spool.counting import count
from celeryscope.spool.folder import Family, families, segments
from celeryscope.spool.format import Item
from celeryscope.spool.reader import FamilyReader
from celeryscope.spool.state import End, Sent, SpanEnd, packed
from celeryscope.spool.writer import SpoolWriter
from support.starts import a_start

SCOPE = b'{"name":"test"}'


def _writer(family: Family, process: str = "1-aa", segment_max_bytes: int = 10_000) -> SpoolWriter:
    return SpoolWriter(family.path, process, b'{"attributes":[]}', segment_max_bytes)


def _orphaned(family: Family) -> Family:
    """The family as it is for whoever adopts it once its main process is dead."""
    family.release()
    adopted = Family.adopt(family.path)
    assert adopted is not None
    return adopted


def _payloads(batch: Batch) -> list[bytes]:
    return [payload for groups in (batch.spans, batch.logs) for found in groups.values() for payload in found]


def _read_all(reader: FamilyReader, budget: int = 1000, final: bool = False) -> list[bytes]:
    found: list[bytes] = []
    while batch := reader.read(budget, final):
        found += _payloads(batch)
        reader.commit(len(batch))
    return found


DELIVERY = "00000000000000ff"


def _start(writer: SpoolWriter, clock: int = 7) -> None:
    """A task starts, with its span."""
    start = a_start(delivery=DELIVERY, clock=clock, request={"id": "7", "retries": 1})
    writer.write(Item(frame.START, frame.OPENS | frame.OF_SPAN, 255, packed(start), b""))


def _end(writer: SpoolWriter, event: bool = True, span: bool = True) -> None:
    """The same task tells its end, its span's, or both."""
    said = {semconv.STATE: "SUCCESS", semconv.CLOCK: 9}
    name = semconv.EVENT_TASK_SUCCEEDED if event else None
    ended = SpanEnd(ended_ns=9000) if span else None
    end = End(event=name, time_ns=9, severity="INFO", body="ok", attributes=said, span=ended)
    flags = (frame.CLOSES if event else 0) | (frame.OF_SPAN if span else 0)
    writer.write(Item(frame.END, flags, 255, packed(end), b""))


def _names(payloads: list[bytes]) -> list[str]:
    """Names of events and spans, sorted."""
    found = map(orjson.loads, payloads)
    return sorted(item.get("eventName") or item.get("name") for item in found)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family.create(tmp_path / "spool")


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 400), max_size=60),
    segment_max_bytes=st.integers(50, 2000),
    budget=st.integers(1, 2000),
    rewind_every=st.integers(2, 5),
)
def test_every_record_is_committed_once_and_in_order(
    sizes: list[int], segment_max_bytes: int, budget: int, rewind_every: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        family = Family.create(Path(folder) / "spool")
        writer = _writer(family, segment_max_bytes=segment_max_bytes)
        reader, found, written, rounds = FamilyReader(family), [], [], 0
        for number, size in enumerate(sizes):
            payload = b"%d:%s" % (number, b"x" * size)
            writer.log(payload, SCOPE)
            written.append(payload)
            if number % 3 == 0 and (batch := reader.read(budget)):
                rounds += 1
                if rounds % rewind_every == 0:
                    reader.rewind()
                else:
                    found += _payloads(batch)
                    reader.commit(len(batch))
        writer.close()
        found += _read_all(reader, budget)
        assert found == written
        assert reader.ledger.shipped == len(written)
        assert not reader.ledger.dropped
        family.release()


def test_a_new_reader_goes_on_where_the_last_one_committed(family: Family) -> None:
    writer = _writer(family)
    for number in range(10):
        writer.log(b"%d" % number, SCOPE)
    first = FamilyReader(family)
    batch = first.read(budget=4)
    first.commit(len(batch))
    uncommitted = first.read(budget=2)
    assert len(uncommitted) == 2
    second = FamilyReader(_orphaned(family))
    assert _payloads(batch) + _read_all(second) == [b"%d" % number for number in range(10)]
    assert second.ledger.shipped == 10


def test_segments_are_deleted_once_acknowledged_but_not_the_one_being_written(family: Family) -> None:
    writer = _writer(family, segment_max_bytes=200)
    for _ in range(20):
        writer.log(b"x" * 100, SCOPE)
    assert len(segments(family.path)["1-aa"]) > 5
    reader = FamilyReader(family)
    _read_all(reader)
    assert len(segments(family.path)["1-aa"]) == 1
    writer.log(b"last", SCOPE)
    assert _read_all(reader) == [b"last"]


def test_what_is_pending_shrinks_to_nothing_as_it_is_shipped(family: Family) -> None:
    writer = _writer(family, segment_max_bytes=500)
    reader = FamilyReader(family)
    for _ in range(21):
        writer.log(b"x" * 100, SCOPE)
    assert reader.pending_bytes() > 2000
    _read_all(reader)
    assert reader.pending_bytes() == 0
    writer.log(b"x" * 100, SCOPE)
    assert reader.pending_bytes() == frame.FRAME_BYTES + 100


def test_spans_and_logs_keep_their_scope_across_segments(family: Family) -> None:
    writer = _writer(family, segment_max_bytes=100)
    for _ in range(6):
        writer.log(b"log", b'{"name":"one"}')
        writer.write(Item(frame.SPAN, 0, 0, b"span", b'{"name":"two"}'))
    batch = FamilyReader(family).read(10_000)
    assert {scope for _, scope in batch.logs} == {b'{"name":"one"}'}
    assert {scope for _, scope in batch.spans} == {b'{"name":"two"}'}
    assert len(batch) == 12


def test_a_dead_process_leaves_its_open_span_and_attempt_as_lost(family: Family) -> None:
    writer = _writer(family, segment_max_bytes=300)
    _start(writer)
    for _ in range(10):
        writer.log(b'{"some":"thing"}' * 5, SCOPE)
    writer.close()
    found = [orjson.loads(payload) for payload in _read_all(FamilyReader(_orphaned(family))) if b"some" not in payload]
    started, lost = (
        next(item for item in found if item.get("eventName") == name)
        for name in (semconv.EVENT_TASK_STARTED, semconv.EVENT_TASK_LOST)
    )
    lost_span = next(item for item in found if "kind" in item)
    assert {"key": "log.record.uid", "value": {"stringValue": "u"}} in started["attributes"]
    assert lost_span["status"]["code"] == 2
    assert int(lost_span["endTimeUnixNano"]) > 5000
    assert (lost_span["spanId"], lost_span["parentSpanId"]) == ("03", "02")
    attributes = {item["key"]: next(iter(item["value"].values())) for item in lost["attributes"]}
    assert attributes[semconv.STATE] == "LOST"
    assert attributes[semconv.CLOCK] == "8"
    assert attributes[semconv.LOG_RECORD_UID] == "00000000000000ff-lost"


def test_what_the_process_closed_itself_is_not_lost(family: Family) -> None:
    writer = _writer(family)
    _start(writer)
    _end(writer)
    writer.close()
    reader = FamilyReader(_orphaned(family))
    assert _names(_read_all(reader)) == [semconv.EVENT_TASK_SUCCEEDED, "run/shop.pay"]
    assert (reader.ledger.shipped, reader.ledger.superseded) == (2, 1), "the start was told by the end"
    assert not reader.ledger.dropped


def test_a_start_that_was_read_before_the_end_came_is_shipped(family: Family) -> None:
    writer, reader = _writer(family), FamilyReader(family)
    _start(writer)
    assert _names(_read_all(reader)) == [semconv.EVENT_TASK_STARTED]
    _end(writer)
    assert _names(_read_all(reader)) == [semconv.EVENT_TASK_SUCCEEDED, "run/shop.pay"]
    assert (reader.ledger.shipped, reader.ledger.superseded) == (3, 0)


def test_an_end_says_all_that_its_start_said_even_many_segments_later(family: Family) -> None:
    writer = _writer(family, segment_max_bytes=300)
    _start(writer)
    for _ in range(10):
        writer.log(b'{"some":"thing"}' * 5, SCOPE)
    _read_all(FamilyReader(family))
    _end(writer)
    reader = FamilyReader(family)  # as after a restart of the shipper
    event, span = (orjson.loads(payload) for payload in sorted(_read_all(reader), key=lambda item: b'"kind"' in item))
    said = {item["key"]: next(iter(item["value"].values())) for item in event["attributes"]}
    assert (said[semconv.TASK_NAME], said[semconv.STATE], said[semconv.CLOCK]) == ("shop.pay", "SUCCESS", "9")
    assert (span["spanId"], span["parentSpanId"], span["endTimeUnixNano"]) == ("03", "02", "9000")
    assert not reader.ledger.dropped


def test_a_span_left_open_by_a_told_failure_is_closed_with_the_process(family: Family) -> None:
    writer = _writer(family)
    _start(writer)
    _end(writer, span=False)
    writer.close()
    assert _names(_read_all(FamilyReader(_orphaned(family)))) == [semconv.EVENT_TASK_SUCCEEDED, "run/shop.pay"]


def test_the_end_of_a_span_alone_leaves_the_attempt_open(family: Family) -> None:
    writer = _writer(family)
    _start(writer)
    _end(writer, event=False)
    writer.close()
    names = _names(_read_all(FamilyReader(_orphaned(family)), budget=100_000))
    assert names == [semconv.EVENT_TASK_LOST, "run/shop.pay"]


def test_a_publish_is_an_event_and_a_span(family: Family) -> None:
    writer, reader = _writer(family), FamilyReader(family)
    sent = Sent(
        time_ns=5000,
        started_ns=5000,
        ended_ns=7000,
        name="shop.pay",
        system="redis",
        destination="celery",
        clock=5,
        uid="u",
        request={"id": "7", "root_id": "7", "task": "shop.pay"},
        trace_id="1f",
        span_id="03",
        parent_id="",
    )
    writer.write(Item(frame.SENT, 0, 0, packed(sent), b""))
    writer.log(b'{"name":"behind"}', SCOPE)
    found = {item.get("eventName") or item["name"]: item for item in map(orjson.loads, _read_all(reader))}
    event, span = found[semconv.EVENT_TASK_SENT], found["apply_async/shop.pay"]
    said = {item["key"]: next(iter(item["value"].values())) for item in event["attributes"]}
    assert (said[semconv.STATE], said[semconv.TASK_NAME], said[semconv.CLOCK]) == ("SENT", "shop.pay", "5")
    assert (span["kind"], span["startTimeUnixNano"], span["endTimeUnixNano"]) == (4, "5000", "7000")
    assert "parentSpanId" not in span
    assert (reader.ledger.shipped, dict(reader.ledger.dropped)) == (3, {})


def test_an_end_whose_start_was_damaged_is_counted(family: Family) -> None:
    writer = _writer(family)
    _start(writer)
    _end(writer)
    (path,) = (item.path for items in segments(family.path).values() for item in items)
    data = bytearray(path.read_bytes())
    data[data.index(b"shop.pay")] ^= 1
    path.write_bytes(data)
    reader = FamilyReader(family)
    assert _read_all(reader) == []
    reader.commit(0)
    assert dict(reader.ledger.dropped) == {ledger.DROPPED_CORRUPT: 3}


def test_what_nothing_can_be_made_of_is_counted_and_holds_up_nothing_else(family: Family) -> None:
    writer = _writer(family)
    # As another version might have written it, or the sender of a message that nobody has checked.
    for key in (1, 2):
        writer.write(Item(frame.START, frame.OPENS | frame.OF_SPAN, key, b'{"name":"odd"}', b""))
    writer.write(Item(frame.END, frame.CLOSES | frame.OF_SPAN, 1, b"{}", b""))
    writer.write(Item(frame.SENT, 0, 0, b"{}", b""))
    _start(writer)
    writer.log(b'{"name":"next"}', SCOPE)
    reader = FamilyReader(family)
    assert _names(_read_all(reader)) == ["celery.task.started", "next"]
    assert dict(reader.ledger.dropped) == {ledger.DROPPED_UNREADABLE: 6}
    writer.close()
    assert _names(_read_all(reader, final=True)) == ["celery.task.lost", "run/shop.pay"]
    assert reader.ledger.dropped.total() == 6


def test_what_the_main_process_told_of_a_dead_child_is_not_told_again(family: Family) -> None:
    child, main = _writer(family, "2-child"), _writer(family, "1-main")
    _start(child)
    main.log(b'{"told":1}', SCOPE, frame.CLOSES, key=255)
    child.close()
    payloads = _read_all(FamilyReader(family))
    assert b'{"told":1}' in payloads
    assert not any(b"celery.task.lost" in payload for payload in payloads)


def test_while_the_main_process_may_still_tell_a_dead_childs_attempt_waits(family: Family) -> None:
    child = _writer(family, "2-child")
    _start(child)
    child.close()
    reader = FamilyReader(family)
    assert len(_read_all(reader)) == 1
    seen_dead = time.time_ns()
    found = [orjson.loads(payload) for payload in _read_all(reader, final=True)]
    (lost,) = [item for item in found if "eventName" in item]
    assert lost["eventName"] == semconv.EVENT_TASK_LOST
    assert int(lost["timeUnixNano"]) <= seen_dead, "it waited for the main process, not for its end"


def test_a_record_that_was_damaged_on_disk_is_counted(family: Family) -> None:
    writer = _writer(family)
    for number in range(5):
        writer.log(b"record %d" % number, SCOPE)
    path = segments(family.path)["1-aa"][0].path
    data = path.read_bytes().replace(b"record 2", b"recXrd 2")
    path.write_bytes(data)
    reader = FamilyReader(family)
    assert _read_all(reader) == [b"record 0", b"record 1", b"record 3", b"record 4"]
    assert reader.ledger.dropped == Counter({ledger.DROPPED_CORRUPT: 1})


def test_over_its_quota_the_spool_drops_the_oldest_without_failures_and_counts_them(family: Family) -> None:
    writer = _writer(family, segment_max_bytes=2000)
    writer.log(b"f" * 1500, SCOPE, frame.FAILURE)
    for number in range(40):
        writer.log(b"%04d" % number + b"x" * 500, SCOPE)
    reader = FamilyReader(family)
    dropped = reader.enforce_quota(8000)
    assert dropped > 20
    left = _read_all(reader)
    assert left[0] == b"f" * 1500
    assert left[-1].startswith(b"0039")
    assert len(left) + dropped == 41
    assert reader.ledger.dropped == Counter({ledger.DROPPED_QUOTA: dropped})
    assert count(family.path.parent)["written"] == 41


def test_when_no_further_file_can_be_opened_the_full_segment_goes_on(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _writer(family, segment_max_bytes=500)

    def no_more(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", no_more)
    for number in range(20):
        writer.log(b"%02d" % number + b"x" * 100, SCOPE)
    monkeypatch.undo()
    assert len(_read_all(FamilyReader(family))) == 20


def test_what_a_destructor_says_while_its_thread_is_writing_is_written_too(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _writer(family)
    real_write = os.write
    said = []

    def interrupted(descriptor: int, data: bytes) -> int:
        if not said:
            said.append("once")
            writer.log(b"from a destructor", SCOPE)
        return real_write(descriptor, data)

    monkeypatch.setattr(os, "write", interrupted)
    writer.log(b"interrupted", SCOPE)
    reader = FamilyReader(family)
    assert _read_all(reader) == [b"interrupted", b"from a destructor"]
    assert not reader.ledger.dropped


@pytest.mark.parametrize("is_written", [True, False])
def test_what_is_written_behind_a_write_that_a_soft_time_limit_interrupts_is_read(
    family: Family, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    writer, write = _writer(family), os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        if is_written:
            write(descriptor, data)
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(SoftTimeLimitExceeded):
        _start(writer)
    writer.log(b'{"name":"next"}', SCOPE)
    assert (255 in writer.open) is is_written
    assert _names(_read_all(FamilyReader(family))) == ["celery.task.started", "next"][not is_written :]


def test_an_adopter_reads_all_processes_before_it_takes_an_attempt_for_lost(family: Family) -> None:
    child, main = _writer(family, "10-child"), _writer(family, "7-main")
    _start(child)
    main.log(b'{"time_limit":1}', SCOPE, frame.CLOSES, key=255)
    child.close()
    main.close()
    assert not any(b"celery.task.lost" in payload for payload in _read_all(FamilyReader(_orphaned(family))))


def test_a_family_that_is_finished_twice_counts_once(family: Family) -> None:
    writer = _writer(family)
    writer.log(b"one", SCOPE)
    writer.close()
    spool = family.path.parent
    reader = FamilyReader(_orphaned(family))
    _read_all(reader)
    reader.commit(0)
    ledger.add_to_past(spool, family.path.name, reader.ledger)  # killed before it could remove the folder
    again = FamilyReader(_orphaned(reader.family))
    assert again.is_finished
    again.finish()
    assert count(spool)["written"] == 1


CRASHING = """
import sys
from pathlib import Path
from celeryscope.spool.folder import Family
from celeryscope.spool.writer import SpoolWriter
family = Family.create(Path(sys.argv[1]))
writer = SpoolWriter(family.path, "1-aa", b"{}", 5000)
print("ready", flush=True)
number = 0
while True:
    number += 1
    writer.log(b'{"n":%d,"pad":"%s"}' % (number, b"x" * (number * 37 % 700)), b"{}")
    sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
"""


@pytest.mark.parametrize("seed", range(5))
def test_what_was_written_before_a_sigkill_is_adopted_and_read(tmp_path: Path, seed: int) -> None:
    spool = tmp_path / "spool"
    with subprocess.Popen([sys.executable, "-c", CRASHING, str(spool)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (path,) = families(spool)
        assert Family.adopt(path) is None, "its owner lives"
        time.sleep(random.Random(seed).uniform(0.01, 0.2))
        process.send_signal(signal.SIGKILL)
        told = [int(line) for line in process.stdout.read().splitlines()]
    adopted = Family.adopt(path)
    assert adopted is not None
    reader = FamilyReader(adopted)
    numbers = [orjson.loads(payload)["n"] for payload in _read_all(reader, budget=50_000)]
    # The very last record may be there although the process died before it could say so.
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) - len(told) in {0, 1}
    assert reader.is_finished
    reader.finish()
    assert families(spool) == []
    assert count(spool) == {
        "families": 0,
        "written": len(numbers),
        "shipped": len(numbers),
        "superseded": 0,
        "pending": 0,
        "dropped": {},
    }
