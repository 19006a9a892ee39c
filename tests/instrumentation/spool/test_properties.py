"""Whatever happens, in whatever order: written = shipped + pending + dropped, each in order, and none is wrong."""

import re
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import orjson
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from celeryscope.spool import format as frame
from celeryscope.spool import ledger
from celeryscope.spool.batch import Batch
from celeryscope.spool.counting import count
from celeryscope.spool.folder import Family, segments
from celeryscope.spool.reader import FamilyReader
from celeryscope.spool.writer import SpoolWriter

SCOPES = [b'{"name":"one"}', b'{"name":"two"}']
RESOURCE = b'{"attributes":[]}'
PAYLOAD = re.compile(rb"^(\d+-p):(\d+):x*$")


def payloads(batch: Batch) -> list[bytes]:
    """Those of each scope in order; a batch groups them by scope."""
    for (_, scope), group in batch.logs.items():
        for process in {_process_and_number(payload)[0] for payload in group}:
            ours = [payload for payload in group if _process_and_number(payload)[0] == process]
            assert ours == sorted(ours, key=_process_and_number)
        assert all(SCOPES[payload.count(b"x") % 2] == scope for payload in group)
    return sorted((payload for group in batch.logs.values() for payload in group), key=_process_and_number)


def _process_and_number(payload: bytes) -> tuple[bytes, int]:
    found = PAYLOAD.match(payload)
    assert found
    return found[1], int(found[2])


class Spool(RuleBasedStateMachine):
    """A family whose processes write, die and are read, on a disk and by a shipper that may fail at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.path = Path(self.temporary.name) / "spool"
        self.now = 1000.0
        self.disk_works = True
        self.writers: dict[str, SpoolWriter] = {}
        self.written: dict[str, int] = {}
        self.shipped: list[bytes] = []
        self.gone_with_process = self.torn = self.processes = 0
        self.patches = [
            patch("celeryscope.spool.writer.time.monotonic", lambda: self.now),
            patch("celeryscope.spool.writer._Segment.append", self.appending()),
        ]
        for patched in self.patches:
            patched.start()

    def appending(self) -> object:
        from celeryscope.spool.writer import _Segment

        real = _Segment.append

        def append(segment: _Segment, data: bytes) -> None:
            if not self.disk_works:
                raise OSError(28, "No space left on device")
            real(segment, data)

        return append

    @initialize(segment_max_bytes=st.integers(100, 1500), memory_max_bytes=st.integers(300, 3000))
    def begin(self, segment_max_bytes: int, memory_max_bytes: int) -> None:
        self.limits = (segment_max_bytes, memory_max_bytes)
        self.family = Family.create(self.path)
        self.reader = FamilyReader(self.family)
        self.new_process()

    @rule()
    def new_process(self) -> None:
        self.processes += 1
        name = f"{self.processes}-p"
        self.writers[name] = SpoolWriter(self.family.path, name, RESOURCE, *self.limits)
        self.written[name] = 0

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), size=st.integers(0, 400), failure=st.booleans(), times=st.integers(1, 8))
    def write(self, data: st.DataObject, size: int, failure: bool, times: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.writers)))
        for _ in range(times):
            self.written[name] += 1
            payload = b"%s:%d:%s" % (name.encode(), self.written[name], b"x" * size)
            self.writers[name].log(payload, SCOPES[size % 2], frame.FAILURE if failure else 0)

    @rule(works=st.booleans())
    def disk(self, works: bool) -> None:
        self.disk_works = works

    @rule()
    def a_second_passes(self) -> None:
        self.now += 1
        for writer in self.writers.values():
            writer.write()

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), tear=st.booleans())
    def kill(self, data: st.DataObject, tear: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.writers)))
        writer = self.writers.pop(name)
        self.gone_with_process += writer.waiting + writer.missed.total()
        last = segments(self.family.path).get(name, [None])[-1]
        if tear and last and (whole := list(frame.intact(last.path.read_bytes())))[-1].is_record:
            position = self.reader._readers[name].position if name in self.reader._readers else None
            if position is None or position.number < whole[-1].number:
                start = whole[-1].end - frame.FRAME_BYTES - len(whole[-1].payload)
                with last.path.open("rb+") as file:
                    file.truncate(data.draw(st.integers(start + 1, whole[-1].end - 1)))
                self.torn += 1
        writer.abandon()

    @rule(budget=st.integers(1, 4000))
    def ship(self, budget: int) -> None:
        batch = self.reader.read(budget)
        self.shipped += payloads(batch)
        self.reader.commit(len(batch))

    @rule(budget=st.integers(1, 4000))
    def fail_to_ship(self, budget: int) -> None:
        self.reader.read(budget)
        self.reader.rewind()

    @rule(budget=st.integers(1, 4000))
    def shipper_is_killed(self, budget: int) -> None:
        self.reader.read(budget)
        self.reader = FamilyReader(self.family)

    @rule(max_bytes=st.integers(200, 8000))
    def quota(self, max_bytes: int) -> None:
        self.reader.rewind()
        self.reader.enforce_quota(max_bytes)

    @rule()
    def main_process_dies_and_the_family_is_adopted(self) -> None:
        self.family.release()
        adopted = Family.adopt(self.family.path)
        assert adopted is not None
        self.family, self.reader = adopted, FamilyReader(adopted)

    @invariant()
    def all_is_accounted_for(self) -> None:
        in_memory = sum(writer.waiting + writer.missed.total() for writer in self.writers.values())
        told = count(self.path)["written"] + in_memory + self.gone_with_process
        # What a dying process was writing is counted once the process is known to be dead.
        assert 0 <= sum(self.written.values()) - told <= self.torn

    def teardown(self) -> None:
        self.disk_works = True
        self.now += 1
        for writer in self.writers.values():
            writer.write()
            assert not writer.waiting
            writer.abandon()
        self.main_process_dies_and_the_family_is_adopted()
        while len(batch := self.reader.read(2000)) or self.reader.has_changed:
            self.shipped += payloads(batch)
            self.reader.commit(len(batch))
        assert self.reader.is_finished
        total = self.reader.ledger
        assert total.shipped == len(self.shipped)
        assert total.shipped + total.dropped.total() + self.gone_with_process == sum(self.written.values())
        assert total.dropped[ledger.DROPPED_TORN] <= self.torn
        assert not total.dropped.keys() - {ledger.DROPPED_QUOTA, ledger.DROPPED_MEMORY_FULL, ledger.DROPPED_TORN}
        self.in_order()
        self.family.release()
        for patched in self.patches:
            patched.stop()
        self.temporary.cleanup()

    def in_order(self) -> None:
        last: dict[bytes, int] = {}
        for process, number in map(_process_and_number, self.shipped):
            assert number > last.get(process, 0), "in order, and once"
            last[process] = number


TestSpool = Spool.TestCase
TestSpool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, phases=[Phase.generate])


def _segment(records: int) -> bytes:
    """The bytes of a real segment with records of two scopes."""
    with tempfile.TemporaryDirectory() as folder:
        family = Family.create(Path(folder) / "spool")
        writer = SpoolWriter(family.path, "1-p", RESOURCE, 1_000_000)
        for number in range(1, records + 1):
            writer.log(_payload(number), SCOPES[number % 2])
        data = segments(family.path)["1-p"][0].path.read_bytes()
        writer.abandon()
        family.release()
        return data


def _read(*datas: bytes) -> tuple[dict[int, bytes], Counter[str]]:
    """Number -> scope of the records of a dead process with such segments, and what was dropped."""
    with tempfile.TemporaryDirectory() as folder:
        family = Family.create(Path(folder) / "spool")
        for number, data in enumerate(datas, 1):
            (family.path / f"1-p.{number:08d}.segment").write_bytes(data)
        reader = FamilyReader(family)
        found: dict[int, bytes] = {}
        while len(batch := reader.read(500)) or reader.has_changed:
            for (_, scope), group in batch.logs.items():
                for payload in group:
                    record = orjson.loads(payload)
                    assert payload == _payload(record["n"])
                    assert record["n"] not in found
                    found[record["n"]] = scope
            reader.commit(len(batch))
        assert reader.is_finished
        family.release()
        return found, reader.ledger.dropped


def _payload(number: int) -> bytes:
    return b'{"n":%d,"text":"%s"}' % (number, b"x" * (number * 7 % 40))


SEGMENT = _segment(12)
WHOLE = {number: SCOPES[number % 2] for number in range(1, 13)}
FRAMES = list(frame.intact(SEGMENT))


def test_a_segment_cut_at_any_byte_loses_only_what_was_cut() -> None:
    ends = {item.end for item in FRAMES}
    for cut in range(len(SEGMENT) + 1):
        found, dropped = _read(SEGMENT[:cut])
        assert sorted(found) == [item.number for item in FRAMES if item.is_record and item.end <= cut], cut
        # Of what is cut before its kind it can't be told that it was no record.
        torn = next((item for item in FRAMES if item.end > cut), None)
        if cut in ends or torn is None:
            assert not dropped, cut
        elif torn.is_record and cut > len(frame.MAGIC):
            assert dropped == Counter({ledger.DROPPED_TORN: 1}), cut


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, len(SEGMENT) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_at_most_one_record_which_is_counted(position: int, bit: int) -> None:
    data = bytearray(SEGMENT)
    data[position] ^= 1 << bit
    found, dropped = _read(bytes(data))
    assert all(scope in {WHOLE[number], b"{}"} for number, scope in found.items()), "a scope may be lost, never changed"
    assert len(found) >= len(WHOLE) - 1
    assert dropped.total() == len(WHOLE) - len(found)
    assert dropped.keys() <= {ledger.DROPPED_CORRUPT, ledger.DROPPED_TORN}


@pytest.mark.parametrize("last", [FRAMES[0], FRAMES[1], FRAMES[-1]], ids=["header", "scope", "record"])
def test_a_last_frame_whose_kind_or_flags_are_damaged_is_counted_if_it_was_a_record(last: frame.Frame) -> None:
    kind = last.end - len(last.payload) - frame.FRAME_BYTES + 12
    for bit in range(16):
        data = bytearray(SEGMENT[: last.end])
        data[kind + bit // 8] ^= 1 << bit % 8
        _, dropped = _read(bytes(data))
        assert dropped.total() == last.is_record, bit


@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, len(SEGMENT) - 1), st.integers(1, 255)), max_size=25))
def test_however_damaged_a_segment_is_no_wrong_record_is_accepted_and_the_next_segment_is_read(
    flips: list[tuple[int, int]],
) -> None:
    first = bytearray(SEGMENT)
    for position, value in flips:
        first[position] ^= value
    found, dropped = _read(bytes(first), _following(len(WHOLE)))
    assert found.keys() >= {13, 14, 15}
    assert len(found) - 3 + dropped.total() == len(WHOLE)
    assert dropped.keys() <= {ledger.DROPPED_CORRUPT}


def _following(last: int) -> bytes:
    """A segment of the same process behind its record ``last``."""
    packed = frame.MAGIC + frame.pack(last, frame.HEADER, 0, 0, 0, RESOURCE)
    for number in range(last + 1, last + 4):
        packed += frame.pack(number, frame.LOG, 0, 0, 0, _payload(number))
    return packed
