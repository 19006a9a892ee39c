"""Elasticsearch: one node of Elastic's own server, with the modules of the integration test distribution and ES|QL.

Elasticsearch refuses to run as root, so for root it runs as ``nobody``. That user may not reach the server's folder
(pytest's temporary folders and /root are closed to others), so for root its files live in /var/tmp, and a file
``owner`` there names the folder they belong to.
"""

import contextlib
import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import urllib3

from celeryscope.errors import Unavailable
from servers.download import distribution
from servers.elasticsearch_modules import with_esql
from servers.java import java
from servers.process import LOOPBACK, Server, free_port

_VERSION = "8.19.21-esql-2"
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
xpack.security.http.ssl.enabled: {tls}
cluster.routing.allocation.disk.threshold_enabled: false
"""

_TLS = """\
xpack.security.http.ssl.certificate: elasticsearch.crt
xpack.security.http.ssl.key: elasticsearch.key
"""
_SECURED_BY = ("roles.yml", "users", "users_roles", "service_tokens", "elasticsearch.crt", "elasticsearch.key")

_JVM_OPTIONS = """\
-Xms{heap}m
-Xmx{heap}m
-XX:TieredStopAtLevel=1
-Xlog:disable
-Xlog:all=warning:stderr:utctime,level,tags
"""


class Elasticsearch(Server):
    """A node without indices; with ``security``, it asks for ``user`` and ``password``.

    ``secured_by`` is a folder that deploy/compose/secrets.sh has filled: the node has its users, roles and tokens, and
    speaks TLS with its certificate; it has no ``user`` of its own then.
    """

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
        secured_by: Path | None = None,
        heap_megabytes: int = 512,
    ) -> None:
        super().__init__(folder, port, detached=detached)
        self.security = security or secured_by is not None
        self._secured_by = secured_by
        self._heap = heap_megabytes
        self._transport_port = free_port()
        self._home = self.folder if os.geteuid() != 0 else _shared_home(self.folder)

    @property
    def url(self) -> str:
        """``http://host:port``, or https."""
        return f"http{'s' if self._secured_by else ''}://{LOOPBACK}:{self.port}"

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
            tls=str(self._secured_by is not None).lower(),
        )
        (config / "elasticsearch.yml").write_text(settings + (_TLS if self._secured_by else ""))
        (config / "jvm.options.d" / "local.options").write_text(_JVM_OPTIONS.format(heap=self._heap))
        if self._secured_by:
            for name in _SECURED_BY:
                shutil.copy(self._secured_by / name, config)
        for name in ("data", "logs", "tmp"):
            (self._home / name).mkdir(exist_ok=True)
        if self._home != self.folder:
            (self._home / "owner").write_text(str(self.folder))
            _give_away(self._home)
        if self.security and not self._secured_by:
            self._set_password()

    def command(self) -> tuple[list[str], dict[str, Any]]:
        """``bin/elasticsearch`` as a user that isn't root."""
        return [str(self._distribution() / "bin" / "elasticsearch")], self._options()

    def ready(self) -> bool:
        """Whether the cluster is at least yellow."""
        address = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s"
        if self._secured_by:
            login = f"admin:{(self._secured_by / 'admin.password').read_text().strip()}"
        else:
            login = f"{self.user}:{self.password}"
        headers = urllib3.make_headers(basic_auth=login) if self.security else {}
        authority = str(self._secured_by / "ca.crt") if self._secured_by else None
        with urllib3.PoolManager(ca_certs=authority) as connections:
            return connections.request("GET", address, headers=headers, timeout=5, retries=False).status == 200

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
        return distribution(self.name, _VERSION, with_esql)


def _shared_home(folder: Path) -> Path:
    return _SHARED / hashlib.sha256(str(folder).encode()).hexdigest()[:16]


def _give_away(home: Path) -> None:
    identity = pwd.getpwnam(_USER)
    for path in (home, *home.rglob("*")):
        os.chown(path, identity.pw_uid, identity.pw_gid)


def _sweep() -> None:
    """Delete the files of servers whose folder is gone: pytest deletes old temporary folders, but not these."""
    for owner in _SHARED.glob("*/owner"):
        # Another process may sweep at the same time.
        with contextlib.suppress(FileNotFoundError):
            if not Path(owner.read_text()).is_dir():
                shutil.rmtree(owner.parent, ignore_errors=True)
