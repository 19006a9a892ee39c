from collections.abc import Iterator
from pathlib import Path

import pytest

from celeryscope.settings import Settings
from celeryscope.shipping.client import _packs
from celeryscope.shipping.shipper import Shipper
from celeryscope.spool.counting import count
from celeryscope.spool.folder import Family, families
from celeryscope.spool.writer import SpoolWriter
from support.sink import Sink
from support.waiting import until

RECORD = b'{"attributes":[{"key":"log.record.uid","value":{"stringValue":"%d"}}]}'


def _family(spool: Path, records: int) -> Family:
    family = Family.create(spool)
    writer = SpoolWriter(family.path, "1-aa", b'{"attributes":[]}', 10_000)
    for number in range(records):
        writer.log(RECORD % number, b'{"name":"test"}')
    writer.close()
    return family


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def _settings(sink: Sink, tmp_path: Path, **more: object) -> Settings:
    return Settings(endpoint=sink.url, spool_dir=tmp_path / "spool", ship_interval=0.05, **more)  # type: ignore[arg-type]


def test_all_of_an_orphaned_spool_is_shipped_and_its_folder_removed(sink: Sink, tmp_path: Path) -> None:
    _family(tmp_path / "spool", 20).release()
    shipper = Shipper(_settings(sink, tmp_path), own=None)
    shipper.start()
    until(lambda: not families(tmp_path / "spool"), what="the folder is removed")
    shipper.stop(1)
    assert len(sink.logs) == 20
    assert count(tmp_path / "spool")["shipped"] == 20


def test_after_a_round_that_shipped_all_there_was_the_shipper_waits(sink: Sink, tmp_path: Path) -> None:
    shipper = Shipper(_settings(sink, tmp_path), own=_family(tmp_path / "spool", 20))
    assert shipper._round(final=False) == 0.05
    assert len(sink.logs) == 20
    shipper.abandon()


def test_after_a_round_that_was_too_small_for_all_the_shipper_goes_on_at_once(sink: Sink, tmp_path: Path) -> None:
    shipper = Shipper(_settings(sink, tmp_path, request_max_bytes=200), own=_family(tmp_path / "spool", 20))
    assert shipper._round(final=False) == 0.0
    assert 0 < len(sink.logs) < 20
    shipper.abandon()


def test_an_error_that_nobody_expected_loses_nothing(sink: Sink, tmp_path: Path) -> None:
    family = _family(tmp_path / "spool", 20)
    # The settings refuse such a token; the client does so by an exception that is none of ours.
    shipper = Shipper(_settings(sink, tmp_path, token="line's end\n"), own=family)
    for _ in range(3):
        with pytest.raises(ValueError, match="header"):
            shipper._round(final=False)
    assert count(tmp_path / "spool") == {
        "families": 1,
        "written": 20,
        "shipped": 0,
        "superseded": 0,
        "pending": 20,
        "dropped": {},
    }


def test_a_request_refused_as_a_whole_is_halved_until_the_bad_record_stands_alone(sink: Sink, tmp_path: Path) -> None:
    family = _family(tmp_path / "spool", 8)
    sink.refuse = lambda records: any(record["log.record.uid"] == "5" for record in records)
    shipper = Shipper(_settings(sink, tmp_path), own=family)
    shipper.start()
    until(lambda: len(sink.logs) == 7, what="the others are shipped")
    shipper.stop(1)
    assert count(tmp_path / "spool") == {
        "families": 0,
        "written": 8,
        "shipped": 7,
        "superseded": 0,
        "pending": 0,
        "dropped": {"refused": 1},
    }


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_whatever_may_be_mended_keeps_the_data(sink: Sink, tmp_path: Path, status: int) -> None:
    family = _family(tmp_path / "spool", 5)
    sink.status = status
    shipper = Shipper(_settings(sink, tmp_path), own=family)
    assert shipper._round(final=False) > 0.1
    assert count(tmp_path / "spool")["pending"] == 5
    sink.status = 200
    shipper._round(final=False)
    assert len(sink.logs) == 5


def test_orphans_are_adopted_a_few_at_a_time(sink: Sink, tmp_path: Path) -> None:
    for _ in range(30):
        _family(tmp_path / "spool", 1).release()
    sink.status = 503
    shipper = Shipper(_settings(sink, tmp_path), own=None)
    shipper._round(final=False)
    assert len(shipper._adopted) == 16
    sink.status = 200
    shipper.start()
    until(lambda: not families(tmp_path / "spool"), timeout=60, what="all are shipped")
    shipper.stop(1)
    assert len(sink.logs) == 30


@pytest.mark.parametrize(
    ("endpoint", "compression", "packs"),
    [
        ("http://127.0.0.1:4318", "auto", False),
        ("http://localhost:4318", "auto", False),
        ("http://[::1]:4318", "auto", False),
        ("https://collector.example", "auto", True),
        ("https://127.0.0.1.example", "auto", True),
        ("http://127.0.0.1:4318", "gzip", True),
        ("https://collector.example", "none", False),
    ],
)
def test_what_does_not_leave_the_host_is_not_compressed(endpoint: str, compression: str, packs: bool) -> None:
    assert _packs(Settings(endpoint=endpoint, compression=compression)) is packs


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_the_collector_reads_it_in_either_way(sink: Sink, tmp_path: Path, compression: str) -> None:
    shipper = Shipper(_settings(sink, tmp_path, compression=compression), own=_family(tmp_path / "spool", 3))
    shipper._round(final=False)
    assert len(sink.logs) == 3
