"""The check for system packages, on machines that lack some."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REQUIRE = Path(__file__).parents[2] / "deploy" / "local" / "require.sh"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that is the whole search path; there's no apt-get in it."""
    for program in ("sh", "id", "sed"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    (tmp_path / "python3").symlink_to(sys.executable)
    install(tmp_path, "rabbitmq/bin/rabbitmq-server")
    install(tmp_path, "chromium")
    return tmp_path


def install(machine: Path, program: str, says: str = "") -> None:
    script = machine / program
    script.parent.mkdir(parents=True, exist_ok=True)
    script.unlink(missing_ok=True)
    script.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    script.chmod(0o755)


def require(machine: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REQUIRE],
        env={"PATH": str(machine), "RABBITMQ_HOME": str(machine / "rabbitmq")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_said_when_nothing_is_missing(machine: Path) -> None:
    install(machine, "java", 'openjdk version "21.0.1" 2023-10-17')
    install(machine, "mvn")
    install(machine, "redis-server")
    done = require(machine)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_line_names_all_that_is_missing(machine: Path) -> None:
    (machine / "rabbitmq/bin/rabbitmq-server").unlink()
    (machine / "chromium").unlink()
    done = require(machine)
    assert done.returncode == 1
    packages = "openjdk-17-jre-headless maven redis-server rabbitmq-server chromium"
    assert done.stderr == f"Please install (names of Debian packages): {packages}\n"


def test_a_java_that_is_too_old_counts_as_missing(machine: Path) -> None:
    install(machine, "java", 'openjdk version "11.0.2" 2019-01-15')
    install(machine, "mvn")
    install(machine, "redis-server")
    assert require(machine).stderr == "Please install (names of Debian packages): openjdk-17-jre-headless\n"


def test_an_older_python_is_refused(machine: Path) -> None:
    (machine / "python3").unlink()
    (machine / "python3").write_text(
        f"""#!/bin/sh
        [ "$1" = -V ] && echo Python 3.9.2 && exit
        exec {sys.executable} -c "import sys; sys.version_info = (3, 9, 2)
$2"
        """
    )
    (machine / "python3").chmod(0o755)
    done = require(machine)
    assert done.returncode == 1
    assert done.stderr == "celeryscope needs Python 3.11 or newer; python3 is Python 3.9.2.\n"


@pytest.mark.parametrize(
    ("release_has_17", "java"), [(True, "openjdk-17-jre-headless"), (False, "default-jre-headless")]
)
def test_root_gets_what_is_missing_installed(machine: Path, release_has_17: bool, java: str) -> None:
    calls = machine / "calls"
    (machine / "id").unlink()
    for program, script in {
        "id": "echo 0",
        "apt-get": f'echo "$*" >> {calls}',
        "apt-cache": f"exit {0 if release_has_17 else 100}",
        "mvn": ":",
    }.items():
        (machine / program).write_text(f"#!/bin/sh\n{script}\n")
        (machine / program).chmod(0o755)
    done = require(machine)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Installing system packages: openjdk-17-jre-headless redis-server ...\n"
    install_line = f"install -y -qq --no-install-recommends {java} redis-server"
    assert calls.read_text().splitlines() == ["update -qq", install_line]
