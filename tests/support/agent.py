"""A real ``celeryscope agent`` as a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from support.sink import Sink
from support.waiting import until

# Not through the installed command, whose entry points are those of the last installation.
_PROGRAM = """
from celeryscope.cli import Commands
from celeryscope.shipping.commands import agent
Commands("celeryscope", commands={"agent": agent})()
"""


class Agent:
    """Ships one spool to the sink; ``kill`` and ``start`` may follow each other."""

    def __init__(self, sink: Sink, spool: Path, log: Path, *options: str, **environ: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CELERYSCOPE_")}
        self._environ = clean | {
            "CELERYSCOPE_ENDPOINT": sink.url,
            "CELERYSCOPE_SHIP_INTERVAL": "0.1",
            "CELERYSCOPE_TOKEN": "agents-token",
            **environ,
        }
        self._command = [sys.executable, "-c", _PROGRAM, "agent", "--dir", str(spool), *options]
        self.log = log

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def start(self) -> None:
        before = self.said().count("shipping")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environ, stdout=log, stderr=log)
        until(lambda: self.said().count("shipping") > before, what="the agent has begun")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(90)

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run it to its end, with ``--once``."""
        command = [*self._command, "--once"]
        return subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=150, check=False)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""
