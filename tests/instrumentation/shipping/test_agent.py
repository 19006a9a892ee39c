"""The agent as a process: what it says, how it ends, and whose spools it ships."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from celeryscope.spool.counting import count
from celeryscope.spool.folder import families, size
from support.agent import Agent
from support.sink import Sink
from support.waiting import until


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def recorder(spool: Path) -> Iterator[Recorder]:
    """A living process that ships nothing itself: to nowhere, to be sure."""
    made = Recorder(Settings(endpoint="http://127.0.0.1:9", spool_dir=spool, ship=False, segment_max_bytes=5000))
    yield made
    made.close()


def _record(recorder: Recorder, number: int) -> None:
    for n in range(number):
        recorder.log({"n": n}, severity="INFO", body="x" * 200)


def _agent(sink: Sink, spool: Path, *options: str, **environ: str) -> Agent:
    return Agent(sink, spool, spool.parent / "agent.log", *options, **environ)


def test_an_agent_ships_for_a_living_process_and_the_process_knows_how_far(
    sink: Sink, spool: Path, recorder: Recorder
) -> None:
    _record(recorder, 100)
    assert recorder.spool_counts()["celery.spool.pending_bytes"] > 20_000
    with _agent(sink, spool):
        until(lambda: len(sink.lines()) == 100)
        _record(recorder, 10)
        until(lambda: len(sink.lines()) == 110)
        until(lambda: recorder.spool_counts()["celery.spool.shipped"] == 110)
        until(lambda: recorder.spool_counts()["celery.spool.pending_bytes"] == 0)
        assert families(spool), "the process lives"
        recorder.close()
        until(lambda: not families(spool), what="the family is finished")
    assert count(spool)["written"] == 110
    assert sink.tokens == {"Bearer agents-token"}


def test_an_agent_that_is_killed_goes_on_where_it_had_committed(sink: Sink, spool: Path, recorder: Recorder) -> None:
    uncommitted = 0
    with _agent(sink, spool) as agent:
        for _ in range(4):
            _record(recorder, 200)
            agent.kill()
            uncommitted += count(spool)["pending"]
            _record(recorder, 200)
            agent.start()
        until(lambda: len({line["log.record.uid"] for line in sink.lines()}) == 1600)
        until(
            lambda: count(spool)["pending"] == 0, what="that it knows what it has shipped; what ends it here kills it"
        )
    counts = count(spool)
    assert (counts["written"], counts["pending"], counts["dropped"]) == (1600, 0, {})
    # At most what was not committed at a kill comes once more, with the same uids.
    assert len(sink.lines()) - 1600 <= uncommitted


def test_an_agent_that_is_asked_to_end_ships_what_was_written_until_then(
    sink: Sink, spool: Path, recorder: Recorder
) -> None:
    with _agent(sink, spool, CELERYSCOPE_SHIP_INTERVAL="1000") as agent:
        _record(recorder, 50)
        assert agent.stop() == 0
    assert len(sink.lines()) == 50


def test_an_agent_that_can_not_ship_ends_in_time_and_leaves_the_rest_in_the_spool(
    sink: Sink, spool: Path, recorder: Recorder
) -> None:
    sink.status = 503
    _record(recorder, 50)
    with _agent(sink, spool, CELERYSCOPE_FLUSH_TIMEOUT="0.5") as agent:
        until(lambda: sink.requests)
        began = time.monotonic()
        assert agent.stop() == 0
        assert time.monotonic() - began < 10
    assert count(spool)["pending"] == 50


def test_two_agents_share_a_spool_and_ship_each_record_once(sink: Sink, spool: Path, recorder: Recorder) -> None:
    _record(recorder, 300)
    with _agent(sink, spool) as first, Agent(sink, spool, spool.parent / "second.log") as second:
        until(lambda: len(sink.lines()) == 300)
        assert first.stop() == second.stop() == 0
    assert len(sink.lines()) == 300


def test_an_agent_says_where_it_ships_and_once_that_the_collector_is_away_and_back(
    sink: Sink, spool: Path, recorder: Recorder
) -> None:
    sink.status = 503
    _record(recorder, 5)
    with _agent(sink, spool) as agent:
        until(lambda: "nothing is lost" in agent.said())
        until(lambda: sink.requests >= 2)
        sink.status = 200
        until(lambda: len(sink.lines()) == 5)
        until(lambda: "is back" in agent.said())
        assert agent.stop() == 0
        lines = agent.said().splitlines()
    assert [re.sub(r"^\S+ \S+ ", "", line).split(":")[0] for line in lines] == [
        "INFO celeryscope",
        "WARNING celeryscope",
        "WARNING celeryscope",
        "INFO celeryscope",
    ]
    assert f"shipping {spool} to {sink.url}" in lines[0]


def test_once_ships_what_is_there_and_ends(sink: Sink, spool: Path, recorder: Recorder) -> None:
    _record(recorder, 30)
    done = _agent(sink, spool).run()
    assert (done.returncode, done.stdout) == (0, "")
    assert len(sink.lines()) == 30
    assert count(spool)["pending"] == 0


@pytest.mark.parametrize(("status", "code"), [(503, 4), (401, 5)])
def test_once_ends_with_the_codes_of_a_collector_that_is_away_or_refuses_the_token(
    sink: Sink, spool: Path, recorder: Recorder, status: int, code: int
) -> None:
    sink.status = status
    _record(recorder, 3)
    done = _agent(sink, spool).run()
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert count(spool)["pending"] == 3


def test_once_without_a_spool_finds_nothing(sink: Sink, spool: Path) -> None:
    done = _agent(sink, spool).run()
    assert done.returncode == 3
    assert "--dir" in done.stderr


def test_several_spools_are_shipped_by_one_agent(sink: Sink, tmp_path: Path) -> None:
    recorders = [Recorder(Settings(spool_dir=tmp_path / name, ship=False)) for name in ("one", "two")]
    for recorder in recorders:
        _record(recorder, 7)
    with Agent(sink, tmp_path / "one", tmp_path / "agent.log", "--dir", str(tmp_path / "two")):
        until(lambda: len(sink.lines()) == 14)
        for recorder in recorders:
            recorder.close()
        until(lambda: not families(tmp_path / "one") + families(tmp_path / "two"))
    assert count(tmp_path / "one")["shipped"] == count(tmp_path / "two")["shipped"] == 7


def test_an_agent_of_another_user_is_refused(sink: Sink, spool: Path, recorder: Recorder) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    _record(recorder, 1)
    os.chown(spool, 12345, -1)
    done = _agent(sink, spool).run()
    assert done.returncode == 2
    assert "another user" in done.stderr
    os.chown(spool, 0, -1)


SMALL = """
import sys, time
from pathlib import Path
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
recorder = Recorder(Settings(spool_dir=Path(sys.argv[1]), ship=False, segment_max_bytes=2000, spool_max_bytes=20_000))
for n in range(400):
    recorder.log({"n": n}, severity="INFO", body="x" * 200)
print("written", flush=True)
sys.stdin.read()
"""


def test_while_no_agent_runs_the_processes_keep_their_quota_themselves(sink: Sink, spool: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SMALL, str(spool)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: size(families(spool)[0]) <= 20_000, what="the quota kept")
        with _agent(sink, spool):
            until(lambda: count(spool)["pending"] == 0, what="the rest shipped")
        counts = count(spool)
        assert counts["dropped"]["quota"] > 200
        assert counts["shipped"] + counts["dropped"]["quota"] == 400
        assert len(sink.lines()) == counts["shipped"]


def test_an_agent_whose_spool_is_deleted_ships_what_is_written_then_and_counts_the_rest(
    sink: Sink, spool: Path, recorder: Recorder
) -> None:
    _record(recorder, 20)
    sink.status = 200
    with _agent(sink, spool) as agent:
        until(lambda: len(sink.lines()) == 20)
        until(lambda: count(spool)["shipped"] == 20)
        sink.status = 503
        _record(recorder, 30)
        until(lambda: "nothing is lost" in agent.said())
        # In one step: the process would put back a part while the next is being deleted.
        gone = spool.rename(spool.with_name("gone"))
        shutil.rmtree(gone)
        until(lambda: bool(families(spool)), what="the process puts its folder back")
        _record(recorder, 10)
        sink.status = 200
        until(lambda: len(sink.lines()) == 30)
        until(lambda: count(spool)["dropped"] == {"deleted": 30})
    assert count(spool)["written"] == 60
