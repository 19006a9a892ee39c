"""Elasticsearch: one node of Elastic's own server, with the modules of the integration test distribution.

Elasticsearch refuses to run as root, so for root it runs as ``nobody``. That user may not reach the server's folder
(pytest's temporary folders and /root are closed to others), so for root its files live in /var/tmp, and a file
``owner`` there names the folder they belong to.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import urllib3

from celeryscope.errors import Unavailable
from servers.download import distribution, unzip_only_folder
from servers.java import java
from servers.process import LOOPBACK, Server, free_port

_VERSION = "8.19.21"
_SHARED = Path("/var/tmp/celeryscope-elasticsearch")
_USER = "nobody"

_SETTINGS = """\
cluster.name: celeryscope-local
discovery.type: single-node
network.host: {host}
http.port: {port}
transport.port: {transport_port}
path.data: {home}/data
path.logs: {home}/logs
xpack.security.enabled: {security}
xpack.security.http.ssl.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
"""

_JVM_OPTIONS = """\
-Xms{heap}m
-Xmx{heap}m
-XX:TieredStopAtLevel=1
-Xlog:disable
-Xlog:all=warning:stderr:utctime,level,tags
"""


class Elasticsearch(Server):
    """A node without indices; with ``security``, it asks for ``user`` and ``password`` or an API key."""

    name: ClassVar[str] = "elasticsearch"
    user: ClassVar[str] = "elastic"
    password: ClassVar[str] = "celeryscope-local"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        detached: bool = False,
        security: bool = False,
        heap_megabytes: int = 512,
    ) -> None:
        super().__init__(folder, port, detached=detached)
        self.security = security
        self._heap = heap_megabytes
        self._transport_port = free_port()
        self._home = self.folder if os.geteuid() != 0 else _shared_home(self.folder)

    @property
    def url(self) -> str:
        """``http://host:port``."""
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration. Raises Unavailable when the password can't be set."""
        _sweep()
        self._home.mkdir(parents=True, exist_ok=True)
        config = self._home / "config"
        shutil.copytree(self._distribution() / "config", config, dirs_exist_ok=True)
        settings = _SETTINGS.format(
            host=LOOPBACK,
            port=self.port,
            transport_port=self._transport_port,
            home=self._home,
            security=str(self.security).lower(),
        )
        (config / "elasticsearch.yml").write_text(settings)
        (config / "jvm.options.d" / "local.options").write_text(_JVM_OPTIONS.format(heap=self._heap))
        for name in ("data", "logs", "tmp"):
            (self._home / name).mkdir(exist_ok=True)
        if self._home != self.folder:
            (self._home / "owner").write_text(str(self.folder))
            _give_away(self._home)
        if self.security:
            self._set_password()

    def command(self) -> tuple[list[str], dict[str, Any]]:
        """``bin/elasticsearch`` as a user that isn't root."""
        return [str(self._distribution() / "bin" / "elasticsearch")], self._options()

    def ready(self) -> bool:
        """Whether the cluster is at least yellow."""
        headers = urllib3.make_headers(basic_auth=f"{self.user}:{self.password}") if self.security else {}
        address = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s"
        answer = urllib3.request("GET", address, headers=headers, timeout=5, retries=False)
        return answer.status == 200

    def storage(self) -> list[Path]:
        """Data and temporary files; for root all of its files in /var/tmp."""
        return [self._home / "data", self._home / "tmp"] if self._home == self.folder else [self._home]

    def _options(self) -> dict[str, Any]:
        environment = {
            **os.environ,
            "ES_JAVA_HOME": str(java().parent.parent),
            "ES_PATH_CONF": str(self._home / "config"),
            "ES_TMPDIR": str(self._home / "tmp"),
            "HOME": str(self._home),
        }
        options: dict[str, Any] = {"env": environment, "cwd": self._home}
        if self._home != self.folder:
            identity = pwd.getpwnam(_USER)
            options |= {"user": identity.pw_uid, "group": identity.pw_gid, "extra_groups": []}
        return options

    def _set_password(self) -> None:
        tool = str(self._distribution() / "bin" / "elasticsearch-keystore")
        done = subprocess.run(
            [tool, "add", "-x", "-f", "bootstrap.password"],
            input=self.password,
            capture_output=True,
            text=True,
            check=False,
            **self._options(),
        )
        if done.returncode != 0:
            raise Unavailable(f"Elasticsearch's password can't be set: {done.stderr or done.stdout}")

    def _distribution(self) -> Path:
        return distribution(self.name, _VERSION, unzip_only_folder)


def _shared_home(folder: Path) -> Path:
    return _SHARED / hashlib.sha256(str(folder).encode()).hexdigest()[:16]


def _give_away(home: Path) -> None:
    identity = pwd.getpwnam(_USER)
    for path in (home, *home.rglob("*")):
        os.chown(path, identity.pw_uid, identity.pw_gid)


def _sweep() -> None:
    """Delete the files of servers whose folder is gone: pytest deletes old temporary folders, but not these."""
    for owner in _SHARED.glob("*/owner"):
        if not Path(owner.read_text()).is_dir():
            shutil.rmtree(owner.parent, ignore_errors=True)
