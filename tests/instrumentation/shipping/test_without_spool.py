"""Processes whose spool can't be written to: those that can ship do so from memory, the others wait."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeryscope import semconv
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from celeryscope.spool.counting import count
from celeryscope.spool.folder import families
from celeryscope.spool.state import End, SpanEnd
from support.disks import Disk
from support.sink import Sink
from support.starts import a_start
from support.waiting import until


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A path that no folder can be made at, until the file in its way is gone."""
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "spool"


def _recorder(sink: Sink, spool: Path, **more: object) -> Recorder:
    return Recorder(Settings(endpoint=sink.url, spool_dir=spool, ship_interval=0.05, **more))  # type: ignore[arg-type]


def _record(recorder: Recorder, number: int, first: int = 0) -> None:
    for n in range(first, first + number):
        recorder.log({"n": n}, severity="INFO", body="x" * 200)


def test_a_process_without_a_spool_ships_from_memory(
    sink: Sink, nowhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = _recorder(sink, nowhere)
    _record(recorder, 50)
    until(lambda: len(sink.lines()) == 50)
    _record(recorder, 5, first=50)
    recorder.close()
    assert [line["n"] for line in sink.lines()] == list(range(55))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the spool fails" in caplog.text


def test_what_a_process_without_a_spool_could_not_ship_is_told_at_its_end(
    sink: Sink, nowhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink.status = 503
    recorder = _recorder(sink, nowhere, flush_timeout=0.2, memory_queue_max_bytes=20_000)
    _record(recorder, 200)
    dropped = recorder.spool_counts()["celery.spool.dropped.memory_full"]
    assert dropped > 100
    recorder.close()
    assert "200 records are lost with the process" in caplog.text


def test_counts_of_what_was_shipped_from_memory_reach_the_spool_when_it_is_there(sink: Sink, nowhere: Path) -> None:
    recorder = _recorder(sink, nowhere)
    _record(recorder, 50)
    until(lambda: len(sink.lines()) == 50)
    nowhere.parent.unlink()
    _record(recorder, 1, first=50)
    until(lambda: len(sink.lines()) == 51)
    until(lambda: nowhere.is_dir() and count(nowhere)["shipped"] == 51)
    recorder.close()
    assert count(nowhere)["written"] == 51


def test_an_attempt_that_began_in_the_spool_ends_from_memory_with_all_that_its_start_said(
    sink: Sink, tmp_path: Path
) -> None:
    start = a_start()
    span = SpanEnd(ended_ns=9000)
    said = {semconv.LOG_RECORD_UID: "the end", semconv.STATE: "SUCCESS", semconv.CLOCK: 9}
    end = End(event=semconv.EVENT_TASK_SUCCEEDED, time_ns=9, severity="INFO", body="ok", attributes=said, span=span)
    with Disk(tmp_path / "disk", "size=64k") as disk:
        recorder = _recorder(sink, disk.path / "spool")
        sink.status = 503
        recorder.start(start, 255)
        disk.fill()
        _record(recorder, 30)
        recorder.end(start, end, 255)
        sink.status = 200
        until(lambda: sink.events(semconv.EVENT_TASK_SUCCEEDED) and sink.spans, timeout=60)
        recorder.close()
        (event,) = sink.events(semconv.EVENT_TASK_SUCCEEDED)
        assert event[semconv.TASK_NAME] == "shop.pay"
        assert [found["name"] for found in sink.spans] == ["run/shop.pay"]
        assert not sink.events(semconv.EVENT_TASK_LOST)
        assert len({line["log.record.uid"] for line in sink.lines()}) == 30


def test_a_pool_child_without_a_spool_opens_no_connection_and_keeps_a_bounded_part_for_later(
    sink: Sink, nowhere: Path
) -> None:
    recorder = _recorder(sink, nowhere, memory_queue_max_bytes=30_000)
    recorder.become_worker_main()
    reads, writes = os.pipe()
    recorded, records = os.pipe()
    child = os.fork()
    if not child:
        os.close(writes)
        _record(recorder, 500)
        os.write(records, b".")
        os.read(reads, 1)
        assert recorder._writer is not None
        recorder._writer._look_at = float("inf")  # it would not try again by itself before it ends
        _record(recorder, 1, first=500)
        recorder.end_child()
        os._exit(0)
    recorder.start_shipping()
    _record(recorder, 1, first=1000)
    until(lambda: [line["n"] for line in sink.lines()] == [1000], what="the main process ships from memory")
    os.read(recorded, 1)
    nowhere.parent.unlink()
    until(lambda: families(nowhere), what="the main process makes the folder")
    os.write(writes, b".")
    os.waitpid(child, 0)
    for end in (reads, writes, recorded, records):
        os.close(end)
    until(lambda: 500 in {line["n"] for line in sink.lines()})
    numbers = [line["n"] for line in sink.lines()][1:]
    assert numbers == list(range(501 - len(numbers), 501)), "the latest"
    until(lambda: recorder.spool_counts().get("celery.spool.dropped.memory_full") == 501 - len(numbers))
    recorder.close()
    assert count(nowhere)["written"] == 502


def test_a_failing_spool_raises_nothing_into_a_task_whatever_the_error(
    sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = _recorder(sink, tmp_path / "spool")
    _record(recorder, 1)
    for failing in ("write", "open", "fstat", "rename"):
        with monkeypatch.context() as patched:
            patched.setattr(os, failing, _raises)
            _record(recorder, 5)
    logging.getLogger("celeryscope").info("still here")
    until(lambda: len(sink.lines()) == 21)
    recorder.close()


def _raises(*_: object, **__: object) -> None:
    raise OSError(5, "Input/output error")
