"""Kills of the out-of-memory killer, in control groups as the kernel shows them."""

from pathlib import Path

import pytest

from celeryscope.out_of_memory import OutOfMemoryKills, own_counter


class Machine:
    """A process's control group and the mounted groups, as files."""

    def __init__(self, folder: Path) -> None:
        self.process = folder / "cgroup"
        self.mount = folder / "mount"
        self.mount.mkdir()
        self.time = 0.0

    def group(self, path: str, kills: int) -> Path:
        file = self.mount / path
        file.parent.mkdir(parents=True, exist_ok=True)
        before = "oom_kill_disable 0\nunder_oom 0" if file.name == "memory.oom_control" else "low 0\nmax 7\noom 1"
        file.write_text(f"{before}\noom_kill {kills}\n")
        return file

    def counter(self) -> Path | None:
        return own_counter(self.process, self.mount)

    def kills(self, counter: Path | None) -> OutOfMemoryKills:
        return OutOfMemoryKills(counter, now=lambda: self.time)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_group_of_version_two_is_found(machine: Machine) -> None:
    machine.process.write_text("0::/system.slice/worker.service\n")
    expected = machine.group("system.slice/worker.service/memory.events", 0)
    machine.group("memory.events", 0)
    assert machine.counter() == expected


def test_the_group_of_version_one_is_found_beside_other_controllers(machine: Machine) -> None:
    machine.process.write_text("5:cpu,cpuacct:/a\n4:memory:/pod/worker\n0::/\n")
    expected = machine.group("memory/pod/worker/memory.oom_control", 0)
    assert machine.counter() == expected


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/kubepods/pod1/container", "memory.events"),
        ("4:memory:/docker/abc", "memory/memory.oom_control"),
    ],
)
def test_in_a_container_that_knows_only_the_hosts_path_its_own_group_is_what_is_mounted(
    machine: Machine, line: str, file: str
) -> None:
    machine.process.write_text(line + "\n")
    expected = machine.group(file, 0)
    assert machine.counter() == expected


def test_without_a_counter_no_process_was_killed_for_its_memory(machine: Machine) -> None:
    assert machine.counter() is None
    machine.process.write_text("0::/\n")
    assert machine.counter() is None
    (machine.mount / "memory.events").write_text("low 0\n")
    assert machine.counter() is None, "a kernel before 4.13 doesn't count kills"
    assert not machine.kills(None).claim()


def test_each_kill_stands_for_one_process(machine: Machine) -> None:
    counter = machine.group("memory.events", 3)
    kills = machine.kills(counter)
    assert not kills.claim(), "those before the worker's start are none of its processes'"
    machine.group("memory.events", 5)
    assert [kills.claim() for _ in range(3)] == [True, True, False]


def test_a_kill_that_hit_another_process_is_forgotten_in_time(machine: Machine) -> None:
    counter = machine.group("memory.events", 0)
    kills = machine.kills(counter)
    machine.group("memory.events", 1)
    for machine.time in (0.0, 60.0, 119.0):
        kills.look()
    machine.time = 120.0
    kills.look()
    assert not kills.claim()


def test_a_kill_may_be_claimed_for_some_time_after_a_look(machine: Machine) -> None:
    counter = machine.group("memory.events", 0)
    kills = machine.kills(counter)
    machine.group("memory.events", 1)
    for machine.time in (0.0, 60.0, 119.0):
        kills.look()
    assert kills.claim()


def test_a_group_that_is_gone_counts_nothing(machine: Machine) -> None:
    counter = machine.group("memory.events", 0)
    kills = machine.kills(counter)
    counter.unlink()
    assert not kills.claim()
