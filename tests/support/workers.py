"""Real workers of ``worker_app``, or another application here, as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from support.sink import Sink
from support.waiting import until

_TESTS = Path(__file__).parent.parent


class Worker:
    """One worker on a queue of its own; ``kill`` takes only its main process, as the OOM killer would."""

    def __init__(
        self,
        sink: Sink,
        redis_url: str,
        folder: Path,
        pool: str = "prefork",
        *,
        app: str = "worker_app",
        concurrency: int = 2,
        options: Sequence[str] = (),
        within: Sequence[str] = (),
        **environ: str,
    ) -> None:
        """``options``: further ones of ``celery worker``; ``within``: a command that runs the worker's."""
        self.folder = folder
        self.pool = pool
        self.app = f"support.{app}"
        self.concurrency = concurrency
        self.options = options
        self.within = within
        self.environ = os.environ | {
            "BROKER_URL": f"{redis_url.rstrip('/').removesuffix('/0')}/0",
            "RESULT_URL": f"{redis_url.rstrip('/').removesuffix('/0')}/1",
            "QUEUE": folder.name,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")])),
            "CELERYSCOPE_ENDPOINT": sink.url,
            "CELERYSCOPE_SPOOL_DIR": str(folder / "spool"),
            "CELERYSCOPE_SHIP_INTERVAL": "0.1",
            "CELERYSCOPE_HEARTBEAT_INTERVAL": "0.5",
            "CELERYSCOPE_TOKEN": "test-token",
            **environ,
        }
        self.sink = sink

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        before = len(self.sink.events("celery.worker.online"))
        command = [
            *self.within,
            sys.executable,
            "-m",
            "celery",
            "-A",
            self.app,
            "worker",
            "-P",
            self.pool,
            "-c",
            str(self.concurrency),
            "-l",
            "INFO",
            *self.options,
        ]
        with (self.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log, cwd=self.folder)
        if self.sink.status == 200:
            until(lambda: len(self.sink.events("celery.worker.online")) > before, what="worker online")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(120)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def run(self, code: str) -> str:
        """Run Python code in a publisher's process that has the tasks; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", f"from {self.app} import *\n{code}"],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()
