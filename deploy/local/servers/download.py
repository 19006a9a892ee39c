"""Server distributions from Maven Central: fetched once for each user, and used only when every hash is right.

Invariants of the cache: a folder ``<name>-<version>`` is complete and verified, since it appears by a rename; what
lies beside it, ``*.partial``, is rubbish of a download that was interrupted.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from celeryscope.errors import ConfigError, Rejected, Unavailable
from servers.process import say

_HERE = Path(__file__).parent
_ATTEMPTS = 3
_INTERRUPTED = {130, -signal.SIGINT}


def cache_folder() -> Path:
    """Where downloads are kept; for root a folder that the user Elasticsearch runs as can read, too."""
    if os.geteuid() == 0:
        return Path("/var/cache/celeryscope")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celeryscope"


def distribution(name: str, version: str, unpack: Callable[[Path, Path], None]) -> Path:
    """The folder of a distribution, downloaded first when it's not in the cache.

    ``<name>.pom.xml`` beside this module names the artifacts and ``<name>.sha256`` the hash of each file.
    ``unpack(downloaded, target)`` makes the folder from the files. Raises ConfigError when Maven is missing,
    Unavailable when the download fails and Rejected when a file is not the one we know.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"{name}-{version}"
    if target.is_dir():
        return target
    with _lock(cache / f"{name}.lock"):
        if not target.is_dir():
            _download(name, target, unpack)
    return target


def copy_files(downloaded: Path, target: Path) -> None:
    """Unpack by keeping the files as they are."""
    shutil.copytree(downloaded, target)


def unzip_only_folder(downloaded: Path, target: Path) -> None:
    """Unpack the one zip, which holds one folder, and keep the files' permissions."""
    (archive,) = downloaded.glob("*.zip")
    with zipfile.ZipFile(archive) as source:
        source.extractall(target.parent / f"{target.name}.unzipped")
        root = target.parent / f"{target.name}.unzipped"
        for entry in source.infolist():
            mode = entry.external_attr >> 16
            if mode and not entry.is_dir():
                (root / entry.filename).chmod(mode & 0o777)
    (folder,) = root.iterdir()
    folder.rename(target)
    root.rmdir()


def verify(folder: Path, hashes: Path) -> None:
    """Raises Rejected unless ``folder`` holds exactly the files that ``hashes`` lists (``<sha256>  <file name>``)."""
    expected = {line.split()[1]: line.split()[0] for line in hashes.read_text().splitlines()}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise Rejected(
            "checksum",
            f"The download differs from the hashes in {hashes}: {', '.join(wrong)}. Nothing was installed; delete the "
            "file from ~/.m2/repository and try again, and don't use it if it differs again.",
        )


def _download(name: str, target: Path, unpack: Callable[[Path, Path], None]) -> None:
    workshop = target.parent / f"{target.name}.partial"
    shutil.rmtree(workshop, ignore_errors=True)
    downloaded = workshop / "downloaded"
    for attempt in range(_ATTEMPTS):
        if _run_maven(name, downloaded, last=attempt == _ATTEMPTS - 1):
            break
    verify(downloaded, _HERE / f"{name}.sha256")
    unpack(downloaded, workshop / "unpacked")
    (workshop / "unpacked").rename(target)
    shutil.rmtree(workshop)


def _run_maven(name: str, folder: Path, *, last: bool) -> bool:
    if shutil.which("mvn") is None:
        raise ConfigError("The first start downloads servers with Maven: install it (Debian: apt-get install maven).")
    command = ["mvn", "-q", "-B", "-f", str(_HERE / f"{name}.pom.xml"), "dependency:copy-dependencies"]
    begin = time.monotonic()
    with subprocess.Popen(
        [*command, f"-DoutputDirectory={folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as maven:
        output = ""
        while maven.poll() is None:
            say(f"{name}: downloading, once, {time.monotonic() - begin:.0f} s", name)
            try:
                output, _ = maven.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                continue
    say("", name)
    if maven.returncode in _INTERRUPTED:
        raise Unavailable(f"The download of {name} was interrupted; start again to go on with it.")
    if maven.returncode != 0 and last:
        errors = [line for line in output.splitlines() if "ERROR" in line]
        raise Unavailable(f"Maven could not download {name}; try again later. It says:\n" + "\n".join(errors[:3]))
    return maven.returncode == 0


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
