"""Small real disks: file systems in memory that can be full or read-only."""

import subprocess
from pathlib import Path
from typing import Self

import pytest


class Disk:
    """A mounted file system of its own; a test that asks for one is skipped where mounting isn't permitted."""

    def __init__(self, path: Path, options: str) -> None:
        self.path = path
        self._options = options

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True)
        if problem := _run("mount", "-t", "tmpfs", "-o", f"{self._options},mode=700", "tmpfs", str(self.path)):
            pytest.skip(f"no file system can be mounted here: {problem}")
        return self

    def __exit__(self, *_: object) -> None:
        _run("umount", "--lazy", str(self.path))

    def make_read_only(self, read_only: bool = True) -> None:
        """Only while no file is open for writing: the kernel refuses it else."""
        problem = _run("mount", "-o", f"remount,{'ro' if read_only else 'rw'}", str(self.path))
        assert not problem, problem

    def fill(self) -> None:
        """Take all the space that is left."""
        with (self.path / "ballast").open("ab", buffering=0) as file:
            try:
                while file.write(b"x" * 4096) == 4096:
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Give back what ``fill`` took."""
        (self.path / "ballast").unlink()


def _run(*command: str) -> str:
    """What a command says when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() or str(done.returncode) if done.returncode else ""
