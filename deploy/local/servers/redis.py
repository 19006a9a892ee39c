"""Redis: the broker and result backend of the demo and the tests."""

import shutil
from typing import Any, ClassVar

from redis import Redis as Client

from celeryscope.errors import ConfigError
from servers.process import LOOPBACK, Server


class Redis(Server):
    """A Redis server that keeps nothing on disk."""

    name: ClassVar[str] = "redis"

    @property
    def url(self) -> str:
        """``redis://host:port/0``."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        """Raises ConfigError when redis-server isn't installed."""
        if shutil.which("redis-server") is None:
            raise ConfigError("redis-server is missing: install it (Debian: apt-get install redis-server).")

    def command(self) -> tuple[list[str], dict[str, Any]]:
        """``redis-server`` without persistence."""
        options = ["--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.folder)]
        return ["redis-server", *options, "--save", "", "--appendonly", "no"], {}

    def ready(self) -> bool:
        """Whether it answers PING."""
        with Client(host=LOOPBACK, port=self.port) as client:
            return bool(client.ping())
