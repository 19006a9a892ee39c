"""RabbitMQ: the other broker of the tests."""

import os
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from kombu import Connection

from celeryscope.errors import ConfigError
from servers.process import LOOPBACK, Server, free_port

_HOME = Path(os.environ.get("RABBITMQ_HOME", "/usr/lib/rabbitmq"))

# Erlang starts its port mapper, epmd, as a daemon of the whole machine, which outlives all; so we run one of our own,
# in the foreground, and forbid the other. The shell passes SIGTERM on; SIGKILL goes to the process group.
_SCRIPT = """\
epmd & epmd=$!
"$0" & server=$!
trap 'kill $server' TERM
wait $server || wait $server
kill $epmd
wait $epmd
"""


class RabbitMQ(Server):
    """A RabbitMQ server without plugins, known to nobody else on the machine."""

    name: ClassVar[str] = "rabbitmq"

    @property
    def url(self) -> str:
        """``amqp://user:password@host:port//``."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}//"

    def prepare(self) -> None:
        """Raises ConfigError when rabbitmq-server isn't installed."""
        if not self._program.exists():
            raise ConfigError("rabbitmq-server is missing: install it (Debian: apt-get install rabbitmq-server).")

    def command(self) -> tuple[list[str], dict[str, Any]]:
        """``rabbitmq-server`` itself: Debian's wrapper of it is for root and the system's own broker only."""
        distribution = str(free_port())
        settings = {
            "HOME": str(self.folder),
            # The Erlang process in the place of RabbitMQ's shell, which would take rabbitmqctl to end it.
            "detached": "true",
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_FLAGS": "-start_epmd false",
            "RABBITMQ_NODENAME": f"celeryscope-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": distribution,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(self._data),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
        }
        self._environ = os.environ | settings
        return ["/bin/sh", "-c", _SCRIPT, str(self._program)], {"env": self._environ, "cwd": self.folder}

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` prints, for the server that this object started; takes seconds."""
        program = str(self._program.with_name("rabbitmqctl"))
        node = self._environ["RABBITMQ_NODENAME"]
        command = [program, "-n", node, *arguments]
        return subprocess.run(command, env=self._environ, check=True, capture_output=True, text=True).stdout

    def ready(self) -> bool:
        """Whether a client can log in."""
        with Connection(self.url, connect_timeout=5) as client:
            return bool(client.connect())

    def storage(self) -> list[Path]:
        """The queues."""
        return [self._data]

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _program(self) -> Path:
        return _HOME / "bin" / "rabbitmq-server"
