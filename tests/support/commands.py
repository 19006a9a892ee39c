"""The product's commands as processes of their own, with one environment."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from servers.process import free_port
from support.waiting import until

CELERYSCOPE = str(Path(sys.executable).with_name("celeryscope"))


def environment(kafka: str, elasticsearch: str, **more: str) -> dict[str, str]:
    """An environment without the developer's own settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CELERYSCOPE_")}
    return clean | {
        "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "CELERYSCOPE_ELASTICSEARCH_URL": elasticsearch,
        **more,
    }


def celeryscope(environ: dict[str, str], *arguments: str, timeout: float = 150) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [CELERYSCOPE, *arguments], env=environ, capture_output=True, text=True, timeout=timeout, check=False
    )


def audit(environ: dict[str, str], *arguments: str) -> dict[str, Any]:
    """What ``celeryscope audit`` finds, whether it balances or not."""
    done = celeryscope(environ, "audit", "--json", *arguments)
    assert done.returncode in {0, 1}, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class IndexerProcess:
    """A real ``celeryscope indexer run``."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self._environ = environ | {"CELERYSCOPE_INDEXER_HTTP_PORT": str(self.port)}
        self.log = log

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(120)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([CELERYSCOPE, "indexer", "run"], env=self._environ, stdout=log, stderr=log)
        until(lambda: self.process.poll() is not None or self.get("/readyz")[0] == 200, what="the indexer is ready")
        assert self.process.poll() is None, self.log.read_text()[-3000:]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.terminate()
        return self.process.wait(120)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in self.get("/metrics")[1].splitlines()
            if line.startswith((f"{name} ", f"{name}{{"))
        )
