"""Real processes that are killed at random moments while they write at full speed, and clocks that jump."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from celeryscope.spool import ledger
from celeryscope.spool.batch import Batch
from celeryscope.spool.counting import count
from celeryscope.spool.folder import Family, families
from celeryscope.spool.reader import FamilyReader
from celeryscope.spool.writer import SpoolWriter

SEED = random.SystemRandom().randrange(10**6)
KILLS = 50
SCOPE = b'{"name":"test"}'

# Records what it has written in a shared page of memory, which outlives it: nothing else may slow the writing down.
PARENT = """
import mmap, os, random, signal, sys, time
from pathlib import Path
from celeryscope.spool.folder import Family
from celeryscope.spool.writer import SpoolWriter

spool, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
choose = random.Random(seed)
family = Family.create(spool)
for kill in range(kills):
    told = mmap.mmap(-1, 8)
    child = os.fork()
    if not child:
        family.release()
        writer = SpoolWriter(family.path, f"{kill}-p", b'{"attributes":[]}', 20_000)
        number = 0
        while True:
            number += 1
            writer.log(b'{"n":%d,"pad":"%s"}' % (number, b"x" * (number * 37 % 6000)), b'{"name":"test"}')
            told[:] = number.to_bytes(8, "little")
    while not int.from_bytes(told[:], "little"):
        time.sleep(0.001)
    time.sleep(choose.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(int.from_bytes(told[:], "little"), flush=True)
"""


def _numbers(batch: Batch) -> list[int]:
    return [orjson.loads(payload)["n"] for group in batch.logs.values() for payload in group]


def test_whatever_a_killed_process_had_written_is_read_and_what_it_was_writing_is_counted(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    spool = tmp_path / "spool"
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(spool), str(SEED), str(KILLS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    told = list(map(int, done.stdout.split()))
    assert len(told) == KILLS
    (path,) = families(spool)
    family = Family.adopt(path)
    assert family is not None
    reader = FamilyReader(family)
    read: dict[bytes, list[int]] = {}
    torn = 0
    while len(batch := reader.read(1_000_000)) or reader.has_changed:
        for name, position in ((name, item.position) for name, item in reader._readers.items()):
            read[name] = max(read.get(name, 0), position.number)
        reader.commit(len(batch))
    assert reader.is_finished
    for kill, number in enumerate(told):
        # The last one may be there although its process died before it could say so.
        assert read[f"{kill}-p"] in {number, number + 1}, f"seed {SEED}, kill {kill}"
    assert reader.ledger.shipped == sum(read.values())
    torn = reader.ledger.dropped[ledger.DROPPED_TORN]
    assert reader.ledger.dropped.total() == torn <= KILLS
    reader.finish()
    assert count(spool)["written"] == sum(read.values()) + torn


def _record(number: int) -> bytes:
    return b'{"n":%d,"pad":"%s"}' % (number, b"x" * 100)


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_that_jumps_by_an_hour_loses_and_reorders_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    family = Family.create(tmp_path / "spool")
    writer = SpoolWriter(family.path, "1-p", b"{}", 1000)
    reader, read = FamilyReader(family), []
    jumped = time.time() + seconds
    for number in range(1, 31):
        if number == 11:
            monkeypatch.setattr(time, "time", lambda: jumped)
            monkeypatch.setattr(time, "time_ns", lambda: int(jumped * 1e9))
        writer.log(_record(number), SCOPE)
        if number % 7 == 0:
            batch = reader.read(10_000)
            read += _numbers(batch)
            reader.commit(len(batch))
    batch = reader.read(10_000)
    reader.commit(len(batch))
    assert read + _numbers(batch) == list(range(1, 31))
    assert not reader.ledger.dropped
    writer.close()
    family.release()


def test_over_the_quota_a_processs_oldest_segments_go_first_though_the_clock_was_set_back(tmp_path: Path) -> None:
    family = Family.create(tmp_path / "spool")
    writer = SpoolWriter(family.path, "1-p", b"{}", 1000)
    reader = FamilyReader(family)
    for number in range(1, 101):
        writer.log(_record(number), SCOPE)
    now = time.time()
    found = sorted(family.path.glob("*.segment"))
    for item in found[len(found) // 2 :]:
        os.utime(item, (now - 3600, now - 3600))
    dropped = reader.enforce_quota(6_000)
    assert dropped > 30
    assert _numbers(reader.read(1_000_000)) == list(range(dropped + 1, 101))
    writer.close()
    family.release()


MAIN = """
import sys, time
from pathlib import Path
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
settings = Settings(endpoint=sys.argv[1], spool_dir=Path(sys.argv[2]), ship_interval=0.05, segment_max_bytes=5000)
recorder = Recorder(settings)
for number in range(int(sys.argv[3])):
    recorder.log({"n": number, "from": sys.argv[4]}, severity="INFO", body="x" * 200)
    time.sleep(0.001)
print("written", flush=True)
sys.stdin.read()
recorder.close()
"""


def test_two_mains_in_one_spool_ship_every_record_once_also_when_one_is_killed(tmp_path: Path) -> None:
    from support.sink import Sink
    from support.waiting import until

    with Sink() as sink, Sink() as away:
        # The third one's collector never takes anything: what is on its way when it is killed is not kept later on.
        away.status = 503

        def started(name: str, number: int, url: str = sink.url) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", MAIN, url, str(tmp_path / "spool"), str(number), name]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            return process

        mains = [started("first", 400), started("second", 400)]
        third = started("third", 400, away.url)
        third.send_signal(signal.SIGKILL)
        for process in (*mains, third):
            process.communicate(timeout=60)
        # Whoever of the two looked in time has adopted the third one's; else the next one does, which lives until then.
        fourth = started("fourth", 1)
        wanted = {(name, number) for name in ("first", "second", "third") for number in range(400)} | {("fourth", 0)}
        until(lambda: {(line["from"], line["n"]) for line in sink.lines()} == wanted, what="all is shipped")
        fourth.communicate(timeout=60)
        assert len({line["log.record.uid"] for line in sink.lines()}) == len(wanted)
        assert len(sink.lines()) == len(wanted), "nothing is sent twice"
    counts = count(tmp_path / "spool")
    assert (counts["shipped"], counts["pending"], counts["dropped"]) == (len(wanted), 0, {})
