"""Who may ship for a family, and what becomes of its folder when somebody deletes it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from celeryscope.errors import ConfigError
from celeryscope.spool.folder import ALIVE, LOCK, Family, families, is_locked
from support.disks import Disk


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_a_family_whose_process_ships_for_itself_is_adopted_by_nobody(spool: Path) -> None:
    family = Family.create(spool)
    assert Family.adopt(family.path) is None
    assert Family.adopt(family.path, alive=True) is None


def test_a_living_family_that_nobody_ships_for_is_taken_by_an_agent_only(spool: Path) -> None:
    family = Family.create(spool, ships=False)
    assert Family.adopt(family.path) is None
    agents = Family.adopt(family.path, alive=True)
    assert agents is not None
    assert agents.main_is_alive
    assert Family.adopt(family.path, alive=True) is None, "another agent has it"


def test_an_agents_family_becomes_an_orphan_when_its_main_process_ends(spool: Path) -> None:
    family = Family.create(spool, ships=False)
    agents = Family.adopt(family.path, alive=True)
    assert agents is not None
    family.release()
    assert not agents.main_is_alive
    agents.release()
    assert Family.adopt(family.path) is not None


MAIN = """
import sys, time
from pathlib import Path
from celeryscope.spool.folder import Family
family = Family.create(Path(sys.argv[1]), ships=sys.argv[2] == "ships")
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("ships", ["ships", "leaves it to the agent"])
def test_a_killed_main_process_leaves_a_family_that_anybody_may_adopt(spool: Path, ships: str) -> None:
    with subprocess.Popen([sys.executable, "-c", MAIN, str(spool), ships], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (path,) = families(spool)
        assert Family.adopt(path) is None
        process.send_signal(signal.SIGKILL)
    assert Family.adopt(path) is not None


def test_a_forked_child_that_lets_go_takes_no_lock_from_its_parent_and_keeps_none(spool: Path) -> None:
    family = Family.create(spool)
    reads, writes = os.pipe()
    if os.fork() == 0:
        family.release()
        os.write(writes, b"." if is_locked(family.path / LOCK) and is_locked(family.path / ALIVE) else b"!")
        os._exit(0)
    assert os.read(reads, 1) == b"."
    os.wait()
    os.close(reads)
    os.close(writes)
    family.release()
    assert Family.adopt(family.path) is not None


@pytest.mark.parametrize("ships", [True, False])
@pytest.mark.parametrize("deleted", ["spool", "family", LOCK, ALIVE])
def test_what_somebody_deletes_of_a_living_family_is_put_back_with_its_locks(
    spool: Path, ships: bool, deleted: str
) -> None:
    family = Family.create(spool, ships)
    assert not family.mend(), "nothing was missing"
    if deleted in {"spool", "family"}:
        shutil.rmtree(spool if deleted == "spool" else family.path)
    else:
        (family.path / deleted).unlink()
    assert family.mend()
    assert not family.mend()
    assert families(spool) == [family.path]
    assert is_locked(family.path / ALIVE)
    assert is_locked(family.path / LOCK) == ships
    assert Family.adopt(family.path) is None


def test_an_agent_whose_lock_was_deleted_and_put_back_knows_that_it_is_no_longer_its_own(spool: Path) -> None:
    family = Family.create(spool, ships=False)
    first = Family.adopt(family.path, alive=True)
    assert first is not None
    assert first.is_held
    shutil.rmtree(family.path)
    assert not first.is_held
    family.mend()
    assert not first.is_held
    second = Family.adopt(family.path, alive=True)
    assert second is not None
    assert second.is_held


def test_a_folder_that_can_not_be_made_whole_leaves_nothing_behind(tmp_path: Path) -> None:
    # Room for the spool's and the family's folder and for one of its two locks.
    with Disk(tmp_path / "disk", "nr_inodes=4") as disk:
        family = Family.named(disk.path / "spool")
        with pytest.raises(OSError, match="No space"):
            family.mend()
        assert list(family.path.parent.iterdir()) == []
        family.release()


def test_a_spool_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(ConfigError, match="another user"):
        Family.create(tmp_path)
