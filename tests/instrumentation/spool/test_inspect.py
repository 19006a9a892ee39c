"""``celeryscope spool inspect``: what a person at the terminal sees of a spool."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from celeryscope import semconv
from celeryscope.cli import Commands
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from celeryscope.spool import format as frame
from celeryscope.spool.commands import spool as spool_commands
from celeryscope.spool.folder import Family, families, segments
from celeryscope.spool.format import Item
from celeryscope.spool.reader import FamilyReader
from celeryscope.spool.state import End, SpanEnd
from celeryscope.spool.writer import SpoolWriter
from support.starts import a_start


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(Settings(spool_dir=tmp_path / "spool", ship=False))
    start = a_start(time_ns=time.time_ns(), request={"id": "task-7", "retries": 0})
    end = End(
        event=semconv.EVENT_TASK_SUCCEEDED,
        time_ns=time.time_ns(),
        severity="INFO",
        body="ok",
        attributes={semconv.STATE: semconv.STATE_SUCCESS},
        span=SpanEnd(ended_ns=time.time_ns()),
    )
    made.start(start, 255)
    for number in range(3):
        made.log({"n": number, semconv.TASK_ID: "task-7"}, severity="INFO", body=f"line {number} \x1b[31m")
    made.end(start, end, 255)
    yield made
    made.close()


@pytest.fixture
def segment(recorder: Recorder, tmp_path: Path) -> Path:
    (family,) = families(tmp_path / "spool")
    ((only,),) = segments(family).values()
    return only.path


def _inspect(tmp_path: Path, *arguments: str) -> Result:
    commands = Commands("celeryscope", commands={"spool": spool_commands})
    return CliRunner().invoke(commands, ["spool", "inspect", "--dir", str(tmp_path / "spool"), *arguments])


def _json(tmp_path: Path, *arguments: str) -> Any:
    done = _inspect(tmp_path, "--json", *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_families_are_shown_with_who_lives_and_what_waits(tmp_path: Path, segment: Path) -> None:
    (family,) = _json(tmp_path)["families"]
    assert family["family"] == segment.parent.name
    assert (family["alive"], family["shipping"]) == (True, False)
    assert (family["segments"], family["bytes"]) == (1, segment.stat().st_size)
    assert (family["pending"], family["shipped"], family["dropped"]) == (6, 0, {})
    text = _inspect(tmp_path).stdout
    assert all(word in text for word in (segment.parent.name, "alive", "none", str(segment.stat().st_size)))


def test_a_dead_family_that_is_shipped_in_part_is_shown_so(tmp_path: Path, recorder: Recorder, segment: Path) -> None:
    recorder.close()
    adopted = Family.adopt(segment.parent)
    assert adopted is not None
    reader = FamilyReader(adopted)
    batch = reader.read(400)
    reader.commit(len(batch))
    (family,) = _json(tmp_path, "--family", segment.parent.name[:6])["families"]
    assert (family["alive"], family["shipping"], family["shipped"]) == (False, True, len(batch))
    assert family["contents"][0]["records"] == 6
    assert family["contents"][0]["to_ship"] == 6 - len(batch) > 0
    adopted.release()


def test_the_records_of_a_segment_are_listed_with_what_a_person_looks_for(tmp_path: Path, segment: Path) -> None:
    (shown,) = _json(tmp_path, segment.stem)["segments"]
    records = shown["records"]
    assert [record["number"] for record in records] == [1, 2, 3, 4, 6]
    assert [record["kind"] for record in records] == ["start", "log", "log", "log", "end"]
    assert {record["task_id"] for record in records} == {"task-7"}
    assert (records[0]["name"], records[0]["state"]) == ("started shop.pay", "STARTED")
    assert (records[-1]["name"], records[-1]["state"]) == ("celery.task.succeeded shop.pay", "SUCCESS")
    assert all(record["to_ship"] and record["bytes"] > 50 for record in records)
    assert abs(time.time() - datetime.fromisoformat(records[1]["time"]).timestamp()) < 60
    assert shown["damages"] == []
    by_path = _json(tmp_path, str(segment))["segments"]
    assert by_path[0]["records"] == records


def test_nothing_that_a_task_wrote_steers_the_terminal(tmp_path: Path, segment: Path) -> None:
    text = _inspect(tmp_path, segment.stem).stdout
    assert "line 1 \\x1b[31m" in text
    assert "\x1b" not in text
    assert "\x1b" not in _inspect(tmp_path, segment.stem, "--payload").stdout


def test_one_record_is_shown_as_it_is_in_the_segment(tmp_path: Path, segment: Path) -> None:
    record = json.loads(_inspect(tmp_path, segment.stem, "--show", "3").stdout)
    assert record["body"]["stringValue"] == "line 1 \x1b[31m"
    assert _inspect(tmp_path, segment.stem, "--show", "99").exit_code == 3


def test_what_is_still_open_is_told_apart_from_what_is_to_ship(tmp_path: Path) -> None:
    family = Family.create(tmp_path / "spool")
    writer = SpoolWriter(family.path, "1-p", b"{}", 1)
    opened = b'{"time_ns":1,"name":"shop.pay","request":{"id":"task-8"}}'
    writer.write(Item(frame.START, frame.OPENS, 5, opened, b""))
    writer.log(b'{"body":{"stringValue":"x"}}', b"{}")
    carried, log = _json(tmp_path, "1-p.00000003")["segments"][0]["records"]
    assert (carried["carried"], carried["to_ship"], carried["task_id"]) == (True, False, "task-8")
    assert (log["carried"], log["to_ship"]) == (False, True)
    writer.close()
    family.release()


def test_corruption_is_told_with_its_place_and_fails_the_verification(tmp_path: Path, segment: Path) -> None:
    assert _inspect(tmp_path, "--verify").exit_code == 0
    data = bytearray(segment.read_bytes())
    data[data.index(b"line 1")] ^= 1
    segment.write_bytes(data)
    done = _inspect(tmp_path, "--verify")
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("corrupt")]
    (shown,) = _json(tmp_path, segment.stem)["segments"]
    (damage,) = shown["damages"]
    assert [record["number"] for record in shown["records"]] == [1, 2, 4, 6]
    before, after = shown["records"][1], shown["records"][2]
    assert before["offset"] + before["bytes"] < damage["offset"] < data.index(b"line 2")
    assert damage["end"] == after["offset"]
    assert f"offset {damage['offset']} to {damage['end']}: {damage['reason']}" in line
    assert _inspect(tmp_path, "--verify", "--json").exit_code == 1


def test_an_end_that_is_cut_is_told_and_is_no_corruption(tmp_path: Path, segment: Path) -> None:
    data = segment.read_bytes()
    segment.write_bytes(data[:-10])
    done = _inspect(tmp_path, "--verify")
    assert done.exit_code == 0
    assert any(line.startswith("cut: ") for line in done.stdout.splitlines())


def test_a_spool_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    done = _inspect(tmp_path)
    assert done.exit_code == 3
    assert "--dir" in done.stderr
    assert done.stdout == ""


def test_looking_does_not_disturb_whoever_writes_and_ships(tmp_path: Path, recorder: Recorder, segment: Path) -> None:
    before = {path: path.read_bytes() for path in segment.parent.iterdir()}
    for arguments in ([], ["--verify"], [segment.stem], ["--family", segment.parent.name]):
        assert _inspect(tmp_path, *arguments).exit_code == 0
    assert {path: path.read_bytes() for path in segment.parent.iterdir()} == before
    adopted = Family.adopt(segment.parent, alive=True)
    assert adopted is not None, "the lock of the shipper is as free as before"
    adopted.release()
