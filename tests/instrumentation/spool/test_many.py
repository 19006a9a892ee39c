"""Thousands of segments and families: the time grows with their number, not with its square."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from celeryscope.spool.counting import count
from celeryscope.spool.folder import Family, families, segments
from celeryscope.spool.reader import FamilyReader
from celeryscope.spool.writer import SpoolWriter

SCOPE = b'{"name":"test"}'


def _many_segments(spool: Path, number: int, processes: int = 1) -> Family:
    family = Family.create(spool)
    for process in range(processes):
        writer = SpoolWriter(family.path, f"{process}-p", b"{}", 1)
        for _ in range(number // processes):
            writer.log(b'{"text":"%s"}' % (b"x" * 300), SCOPE)
        writer.close()
    return family


def _seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _read_all(reader: FamilyReader) -> int:
    # Small requests, so that there are many of them.
    records = 0
    while len(batch := reader.read(3000)) or reader.has_changed:
        reader.commit(len(batch))
        records += len(batch)
    return records


@pytest.mark.parametrize(("number", "processes"), [(5000, 1), (2000, 2000)], ids=["of one process", "of as many"])
def test_thousands_of_segments_are_counted_read_and_deleted(tmp_path: Path, number: int, processes: int) -> None:
    family = _many_segments(tmp_path / "spool", number, processes)
    reader = FamilyReader(family)
    times = {
        "status": _seconds(lambda: count(tmp_path / "spool")),
        "pending": _seconds(reader.pending_bytes),
        "within the quota": _seconds(lambda: reader.enforce_quota(10**9)),
        "read": _seconds(lambda: _read_all(reader)),
    }
    print(times)
    assert reader.ledger.shipped == number
    assert len(segments(family.path)) <= 1
    # Several times the CPU that each takes; with the square of their number, "read" took 22 s and half an hour.
    assert times.pop("read") < 8
    assert max(times.values()) < 2
    family.release()


def test_over_the_quota_thousands_of_segments_are_dropped(tmp_path: Path) -> None:
    family = _many_segments(tmp_path / "spool", 5000)
    reader = FamilyReader(family)
    took = _seconds(lambda: reader.enforce_quota(100_000))
    print(took)
    assert count(tmp_path / "spool")["written"] == 5000
    assert reader.ledger.dropped.total() > 4000
    assert took < 10
    family.release()


def test_a_thousand_families_are_counted_adopted_and_shipped(tmp_path: Path) -> None:
    from celeryscope.settings import Settings
    from celeryscope.shipping.shipper import Shipper

    spool = tmp_path / "spool"
    for _ in range(1000):
        _many_segments(spool, 1).release()
    times = {"status": _seconds(lambda: count(spool)), "list": _seconds(lambda: families(spool))}
    shipper = Shipper(Settings(spool_dir=spool), own=None)
    shipper._client.post = lambda path, body: 0  # type: ignore[method-assign]
    times["ship"] = _seconds(shipper.ship_once)
    print(times)
    counts = count(spool)
    assert (counts["families"], counts["shipped"]) == (0, 1000)
    assert times["status"] < 2
    assert times["ship"] < 15
