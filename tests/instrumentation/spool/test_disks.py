"""A disk that is full, read-only, or whose files somebody deletes: nothing is raised, and what is lost is counted."""

import itertools
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeryscope.spool import format as frame
from celeryscope.spool import ledger
from celeryscope.spool import writer as writing
from celeryscope.spool.batch import Batch
from celeryscope.spool.counting import count
from celeryscope.spool.folder import Family, segments
from celeryscope.spool.reader import FamilyReader
from celeryscope.spool.writer import SpoolWriter
from support.disks import Disk

SCOPE = b'{"name":"test"}'


class Clock:
    """The writer's clock, so that no test waits for its next try."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(writing, "time", clock)
    return clock


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk", "size=256k") as mounted:
        yield mounted


def _writer(family: Family, memory_max_bytes: int = 1_000_000, process: str = "1-p") -> SpoolWriter:
    return SpoolWriter(family.path, process, b'{"attributes":[]}', 20_000, memory_max_bytes, family.mend)


def _write(writer: SpoolWriter, first: int, last: int) -> None:
    for number in range(first, last + 1):
        writer.log(b'{"n":%d,"text":"%s"}' % (number, b"x" * 500), SCOPE)


def _numbers(batch: Batch) -> list[int]:
    return [int(payload[5 : payload.index(b",")]) for group in batch.logs.values() for payload in group]


def _ship(reader: FamilyReader) -> list[int]:
    found: list[int] = []
    while len(batch := reader.read(10_000)):
        found += _numbers(batch)
        reader.commit(len(batch))
    reader.commit(0)
    return found


def test_what_a_full_disk_can_not_take_waits_in_memory_and_is_written_in_order(
    disk: Disk, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    family = Family.create(disk.path / "spool")
    writer, reader = _writer(family), FamilyReader(family)
    _write(writer, 1, 1000)
    assert 400 < writer.waiting < 1000
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text
    # What is shipped makes room, also for the checkpoint that says so.
    shipped = _ship(reader)
    clock.now += 1
    _write(writer, 1001, 1001)
    shipped += _ship(reader)
    clock.now += 1
    writer.write()
    shipped += _ship(reader)
    assert shipped == list(range(1, 1002))
    assert not writer.waiting
    assert not reader.ledger.dropped
    assert count(disk.path / "spool")["written"] == 1001
    assert len(caplog.records) < 6, "it is told once, and when it is over"
    writer.close()
    family.release()


def test_what_has_no_room_in_memory_either_is_counted_and_the_failures_stay(disk: Disk, clock: Clock) -> None:
    family = Family.create(disk.path / "spool")
    writer, reader = _writer(family, memory_max_bytes=50_000), FamilyReader(family)
    disk.fill()
    _write(writer, 1, 20)
    writer.log(b'{"n":21,"failed":"yes"}', SCOPE, frame.FAILURE)
    _write(writer, 22, 500)
    missed = writer.missed
    assert missed.keys() == {ledger.DROPPED_MEMORY_FULL}
    disk.free()
    clock.now += 1
    _write(writer, 501, 501)
    shipped = _ship(reader)
    assert shipped == sorted(shipped)
    assert 21 in shipped
    assert not {15, 20, 22, 100} & set(shipped)
    assert shipped[-50:] == list(range(452, 502))
    assert reader.ledger.dropped == missed
    assert len(shipped) + missed.total() == 501
    assert not writer.missed, "the spool tells it now"
    writer.close()
    family.release()


def test_a_spool_on_a_read_only_disk_is_made_as_soon_as_it_can_be_written(disk: Disk, clock: Clock) -> None:
    disk.make_read_only()
    family = Family.named(disk.path / "spool")
    writer = _writer(family)
    _write(writer, 1, 50)
    assert writer.waiting == 50
    disk.make_read_only(False)
    _write(writer, 51, 60)
    assert writer.waiting == 60, "it is not tried for each record"
    clock.now += 1
    _write(writer, 61, 61)
    assert _ship(FamilyReader(family)) == list(range(1, 62))
    writer.close()
    family.release()


def test_a_process_that_can_not_write_is_still_told_alive_by_its_last_segment(disk: Disk, clock: Clock) -> None:
    family = Family.create(disk.path / "spool")
    writer, reader = _writer(family), FamilyReader(family)
    _write(writer, 1, 3)
    disk.fill()
    _write(writer, 4, 50)
    assert _ship(reader) == list(range(1, 51 - writer.waiting))
    assert not reader.is_finished
    writer.close()
    assert writer.waiting > 40
    _ship(reader)
    assert reader.is_finished
    family.release()


def test_a_quota_of_the_file_system_is_a_full_disk(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # EDQUOT needs a file system with quotas; what it does to a write is known.
    family = Family.create(tmp_path / "spool")
    writer = _writer(family)
    _write(writer, 1, 1)
    real = os.write
    monkeypatch.setattr(os, "write", _failing(122, "Disk quota exceeded"))
    _write(writer, 2, 9)
    monkeypatch.setattr(os, "write", real)
    clock.now += 1
    _write(writer, 10, 10)
    reader = FamilyReader(family)
    assert _ship(reader) == list(range(1, 11))
    writer.close()
    family.release()


def _failing(number: int, text: str) -> object:
    def write(*_: object) -> int:
        raise OSError(number, text)

    return write


def test_a_torn_write_is_taken_back_so_that_nobody_counts_it(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Family.create(tmp_path / "spool")
    writer, reader = _writer(family), FamilyReader(family)
    _write(writer, 1, 2)
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[: len(data) // 2]))
    _write(writer, 3, 3)
    items, _ = writer.take(10_000)
    writer.taken(items)
    writer.close()
    monkeypatch.undo()
    assert _ship(reader) == [1, 2]
    assert reader.is_finished
    assert not reader.ledger.dropped
    family.release()


def test_a_torn_write_that_can_not_even_be_taken_back_costs_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Family.create(tmp_path / "spool")
    writer = _writer(family)
    _write(writer, 1, 2)
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[: len(data) // 2]))
    monkeypatch.setattr(os, "ftruncate", _failing(5, "Input/output error"))
    _write(writer, 3, 5)
    monkeypatch.undo()
    monkeypatch.setattr(writing, "time", clock)
    clock.now += 1
    _write(writer, 6, 6)
    reader = FamilyReader(family)
    assert _ship(reader) == [1, 2, 3, 4, 5, 6]
    writer.close()
    _ship(reader)
    assert not reader.ledger.dropped
    family.release()


@pytest.mark.parametrize("deleted", ["spool", "family", "segments"])
def test_what_somebody_deletes_is_begun_anew_and_what_was_in_it_is_counted(
    tmp_path: Path, clock: Clock, deleted: str
) -> None:
    family = Family.create(tmp_path / "spool")
    main, child = _writer(family), SpoolWriter(family.path, "2-p", b"{}", 20_000)
    reader = FamilyReader(family)
    _write(main, 1, 30)
    _write(child, 101, 120)
    assert len(_ship(reader)) == 50
    _write(main, 31, 40)
    _write(child, 121, 140)
    if deleted == "segments":
        for segment in itertools.chain.from_iterable(segments(family.path).values()):
            segment.path.unlink()
    else:
        shutil.rmtree(tmp_path / "spool" if deleted == "spool" else family.path)
    _write(main, 41, 42)  # nobody has looked yet
    clock.now += 1
    _write(main, 43, 45)
    _write(child, 141, 150)
    assert sorted(_ship(reader)) == [*range(43, 46), *range(141, 151)]
    assert reader.ledger.dropped == Counter({ledger.DROPPED_DELETED: 32})
    assert reader.ledger.shipped + reader.ledger.dropped.total() == 45 + 50
    assert count(tmp_path / "spool")["written"] == 95
    main.close()
    child.close()
    family.release()


def test_a_child_waits_for_its_main_process_to_put_the_folder_back(tmp_path: Path, clock: Clock) -> None:
    family = Family.create(tmp_path / "spool")
    child = SpoolWriter(family.path, "2-p", b"{}", 20_000)
    shutil.rmtree(family.path)
    clock.now += 1
    _write(child, 1, 10)
    assert child.waiting == 10
    family.mend()
    clock.now += 1
    _write(child, 11, 11)
    assert _ship(FamilyReader(family)) == list(range(1, 12))
    child.close()
    family.release()


def test_what_the_shipper_takes_from_memory_is_complete_without_the_spool(disk: Disk, clock: Clock) -> None:
    family = Family.create(disk.path / "spool")
    writer = _writer(family)
    disk.fill()
    _write(writer, 1, 20)
    kept = list(range(21 - writer.waiting, 21))
    items, segment = writer.take(3_000)
    assert _from(segment) == kept[: len(items)]
    assert 3 < len(items) < len(kept)
    writer.put_back(items)
    items, segment = writer.take(1_000_000)
    assert _from(segment) == kept
    writer.taken(items)
    assert not writer.waiting
    writer.close()
    family.release()


def _from(segment: bytes) -> list[int]:
    from celeryscope.spool.process_reader import Position, ProcessReader

    batch = Batch()
    ProcessReader(Position()).read_bytes(segment, batch)
    batch.close()
    return _numbers(batch)


def test_when_the_checkpoint_can_not_be_saved_the_shipping_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Family.create(tmp_path / "spool")
    writer, reader = _writer(family), FamilyReader(family)
    _write(writer, 1, 100)
    monkeypatch.setattr(ledger, "write_atomically", _failing(28, "No space left on device"))
    shipped = []
    for _ in range(20):
        batch = reader.read(10_000)
        shipped += _numbers(batch)
        reader.commit(len(batch))
    monkeypatch.undo()
    assert shipped == list(range(1, 101))
    assert len(segments(family.path)["1-p"]) == 1, "what is shipped makes room"
    assert reader.has_changed
    reader.commit(0)
    assert FamilyReader(family).ledger.shipped == 100
    writer.close()
    family.release()


def test_a_checkpoint_that_had_no_room_is_saved_once_what_is_shipped_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Family.create(tmp_path / "spool")
    writer, reader = _writer(family), FamilyReader(family)
    _write(writer, 1, 100)
    real = ledger.write_atomically
    tried: list[Path] = []

    def full_at_first(path: Path, data: object) -> None:
        tried.append(path)
        if len(tried) == 1:
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(ledger, "write_atomically", full_at_first)
    batch = reader.read(1_000_000)
    reader.commit(len(batch))
    assert FamilyReader(family).ledger.shipped == 100
    writer.close()
    family.release()


def test_a_checkpoint_that_is_lost_makes_no_losses_of_what_was_shipped(tmp_path: Path) -> None:
    family = Family.create(tmp_path / "spool")
    writer, reader = _writer(family), FamilyReader(family)
    _write(writer, 1, 100)
    batch = reader.read(40_000)
    reader.commit(len(batch))
    (family.path / ledger.CHECKPOINT).write_bytes(b"\x00" * 50)
    writer.close()
    family.release()
    adopted = Family.adopt(family.path)
    assert adopted is not None
    again = FamilyReader(adopted)
    numbers = _ship(again)
    assert numbers == list(range(numbers[0], 101))
    assert 1 < numbers[0] <= len(batch) + 1
    assert not again.ledger.dropped
    adopted.release()


def test_the_warning_of_a_failing_spool_does_not_wait_for_locks_of_the_writer(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Family.create(tmp_path / "spool")
    writer = _writer(family)

    class Bridge(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            writer.log(b'{"n":0,"text":"a log line is a record, too"}', SCOPE)

    bridge = Bridge()
    logging.getLogger("celeryscope").addHandler(bridge)
    monkeypatch.setattr(os, "write", _failing(28, "No space left on device"))
    try:
        _write(writer, 1, 1)
    finally:
        logging.getLogger("celeryscope").removeHandler(bridge)
    assert writer.waiting == 2
    monkeypatch.undo()
    writer.close()
    family.release()
