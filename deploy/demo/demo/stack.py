"""The whole stack on loopback: three servers, the product and the shop, all in one folder and with one environment."""

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis as RedisClient

from celeryscope import semconv
from celeryscope.errors import CeleryscopeError, Unavailable
from demo.documents import documents
from demo.outcome import Attempt, differences
from demo.services import Beat, Collector, Indexer, Worker, environment_of_process, program
from servers import Elasticsearch, Kafka, Redis, Server
from shop import expected as expectations
from shop.expected import Expected

_SHOP = Path(__file__).resolve().parents[1]
_POLL = 0.5
_PRODUCT_TIMEOUT = 300


class StepError(CeleryscopeError):
    """A command that the stack needs ended with an error; the message holds what it printed."""


@dataclass(frozen=True)
class Ports:
    """Where to listen; None is a free port."""

    kafka: int | None = None
    elasticsearch: int | None = None
    redis: int | None = None
    collector: int | None = None
    indexer: int | None = None


FIXED = Ports(kafka=29092, elasticsearch=29200, redis=26379, collector=24318, indexer=29465)
"""The ports of the stack that stays up."""


class Stack:
    """All processes, by name; `settings` is the environment that any of the product's commands needs to reach them."""

    def __init__(self, folder: Path, ports: Ports | None = None, *, detached: bool = False) -> None:
        """Nothing is started. With `detached`, processes outlive this one, and are found again by the same folder."""
        ports = ports or Ports()
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        # The one that the terminal views look at when nothing is said.
        self.tenant = semconv.DEFAULT_TENANT
        self.kafka = Kafka(self.folder / "kafka", ports.kafka, detached=detached)
        self.elasticsearch = Elasticsearch(self.folder / "elasticsearch", ports.elasticsearch, detached=detached)
        self.redis = Redis(self.folder / "redis", ports.redis, detached=detached)
        self.settings: dict[str, str] = {}
        self.collector = Collector(self.folder / "collector", self.settings, ports.collector, detached=detached)
        self.indexer = Indexer(self.folder / "indexer", self.settings, ports.indexer, detached=detached)
        self.worker = Worker(self.folder / "worker", self.settings, detached=detached)
        self.beat = Beat(self.folder / "beat", self.settings, detached=detached)
        self.settings |= self._settings()
        if self._secret.exists():
            self.settings["CELERYSCOPE_TOKEN"] = self._secret.read_text()

    @property
    def servers(self) -> list[Server]:
        """What the product runs on."""
        return [self.kafka, self.elasticsearch, self.redis]

    @property
    def services(self) -> list[Server]:
        """The product's processes and the shop's."""
        return [self.collector, self.indexer, self.worker, self.beat]

    @property
    def processes(self) -> list[Server]:
        """All of them, in the order in which they need each other."""
        return [*self.servers, *self.services]

    def start_servers(self) -> None:
        """Start Kafka, Elasticsearch and Redis side by side. Raises Unavailable with the log of one that fails."""
        _side_by_side(Server.start, self.servers)

    def set_up(self) -> None:
        """Create topics, templates and indices, and a token for the shop. Raises StepError."""
        self.product("setup")
        if not self._tokens.exists():
            self._make_token()

    def start_services(self) -> None:
        """Start collector, indexer, worker and beat side by side. Raises Unavailable with the log of one that fails."""
        self.spool.mkdir(mode=0o700, exist_ok=True)
        _side_by_side(Server.start, self.services)

    def start(self) -> None:
        """Everything, in order."""
        self.start_servers()
        self.set_up()
        self.start_services()

    def stop_shop(self) -> None:
        """Stop beat, then the worker when it has begun all that was sent; it ships what is left in the spool."""
        self.beat.stop()
        self._wait_until_all_has_begun()
        self.worker.stop()

    def stop(self) -> None:
        """Stop everything, those first that send to others, and delete the servers' data."""
        for process in reversed(self.services):
            process.stop()
        _side_by_side(Server.discard, self.servers)

    def publish(self, tasks: int = 500, seed: int = 7) -> list[Expected]:
        """Publish the shop's load; what must become of it. Raises StepError."""
        options = ["--tasks", str(tasks), "--seed", str(seed)]
        return expectations.loads(self._run([sys.executable, "-m", "shop.load", *options]))

    def publishing(self, tasks: int = 500, seed: int = 7) -> subprocess.Popen[str]:
        """The load while it is being published; its standard output is for `shop.expected.loads`."""
        arguments = [sys.executable, "-m", "shop.load", "--tasks", str(tasks), "--seed", str(seed)]
        environment = environment_of_process(self.settings)
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)

    def wait_for(
        self,
        expected: list[Expected],
        timeout: float = 300,
        report: Callable[[int], None] = lambda done: None,  # noqa: ARG005
    ) -> None:
        """Return when all workflows are in Elasticsearch as expected; `report` gets the number of those that are.

        Raises Unavailable when a process ends meanwhile or the time is over, with what is still different.
        """
        deadline = time.monotonic() + timeout
        with documents(self.elasticsearch.url, self.tenant) as reader:
            while different := differences(expected, reader.attempts(item.root_id for item in expected)):
                report(len(expected) - len(different))
                self.check()
                if time.monotonic() > deadline:
                    some = "\n".join(list(different.values())[:10])
                    raise Unavailable(f"after {timeout:.0f} s, {len(different)} workflows are not as expected:\n{some}")
                time.sleep(_POLL)
            report(len(expected))

    def attempts(self, root_ids: Iterable[str]) -> list[Attempt]:
        """All attempts of these workflows that are searchable now."""
        with documents(self.elasticsearch.url, self.tenant) as reader:
            return reader.attempts(root_ids)

    def check(self) -> None:
        """Raises Unavailable, with the end of its log, when a process has ended."""
        for process in self.processes:
            if not process.alive:
                raise Unavailable(f"{process.name} has ended; the end of {process.log}:\n{process.tail()}")

    def product(self, *arguments: str) -> str:
        """Run a `celeryscope` command against the stack; its standard output. Raises StepError."""
        return self._run([program("celeryscope"), *arguments])

    def show(self, *arguments: str) -> None:
        """Run a `celeryscope` command with this process's terminal. Raises StepError."""
        command = [program("celeryscope"), *arguments]
        try:
            done = subprocess.run(
                command, env=environment_of_process(self.settings), timeout=_PRODUCT_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            raise StepError(_too_long(command)) from None
        if done.returncode != 0:
            raise StepError(f"`celeryscope {shlex.join(arguments)}` ended with exit code {done.returncode}")

    def spool_status(self) -> dict[str, Any]:
        """What `celeryscope spool status` says: written, shipped, pending, and dropped by reason."""
        status: dict[str, Any] = json.loads(self.product("spool", "status", "--json"))
        return status

    def write_environment(self) -> Path:
        """A file for the shell's `.` that makes `celeryscope` and `celery` talk to this stack."""
        path = self.folder / "environment"
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.settings.items()]
        lines.append(f"export PATH={shlex.quote(str(Path(program('celeryscope')).parent))}:$PATH")
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")
        return path

    @property
    def spool(self) -> Path:
        """The spool that the shop's processes share."""
        return self.folder / "spool"

    @property
    def _tokens(self) -> Path:
        return self.folder / "tokens.yaml"

    @property
    def _secret(self) -> Path:
        return self.folder / "token"

    def _wait_until_all_has_begun(self, timeout: float = 60) -> None:
        """A worker that is stopped finishes what it has begun; what beat has just sent would stay without an end."""
        deadline = time.monotonic() + timeout
        with RedisClient.from_url(self.redis.url) as client:
            while client.llen("celery") + client.hlen("unacked") and self.worker.alive and time.monotonic() < deadline:
                time.sleep(_POLL)

    def _settings(self) -> dict[str, str]:
        return {
            "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "CELERYSCOPE_ELASTICSEARCH_URL": self.elasticsearch.url,
            "CELERYSCOPE_COLLECTOR_PORT": str(self.collector.port),
            # Its workers send over HTTP.
            "CELERYSCOPE_COLLECTOR_GRPC": "false",
            "CELERYSCOPE_COLLECTOR_TOKENS_FILE": str(self._tokens),
            "CELERYSCOPE_INDEXER_HTTP_PORT": str(self.indexer.port),
            "CELERYSCOPE_PIPELINE_COLLECTORS": self.collector.url,
            "CELERYSCOPE_PIPELINE_INDEXERS": f"http://127.0.0.1:{self.indexer.port}",
            "CELERYSCOPE_ENDPOINT": self.collector.url,
            "CELERYSCOPE_SPOOL_DIR": str(self.spool),
            "CELERYSCOPE_SHIP_INTERVAL": "0.2",
            "CELERYSCOPE_HEARTBEAT_INTERVAL": "2",
            # On a busy machine, too, a process that ends ships all it has.
            "CELERYSCOPE_FLUSH_TIMEOUT": "30",
            "CELERYSCOPE_ENVIRONMENT": "demo",
            "SHOP_BROKER_URL": self.redis.url,
            "SHOP_RESULT_BACKEND": self.redis.url,
            "PYTHONPATH": str(_SHOP),
        }

    def _make_token(self) -> None:
        printed = self.product("collector", "token", "new", "--tenant", self.tenant)
        token, digest = re.search(r"csc_[\w-]+", printed), re.search(r"\b[0-9a-f]{64}\b", printed)
        if not token or not digest:
            raise StepError("`celeryscope collector token new` printed no token with its hash")
        self._tokens.write_text(f"tokens:\n  - {{tenant: {self.tenant}, sha256: {digest.group()}}}\n")
        self._secret.touch(mode=0o600)
        self._secret.write_text(token.group())
        self.settings["CELERYSCOPE_TOKEN"] = token.group()

    def _run(self, command: list[str]) -> str:
        try:
            done = subprocess.run(
                command,
                env=environment_of_process(self.settings),
                capture_output=True,
                text=True,
                timeout=_PRODUCT_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StepError(_too_long(command)) from None
        if done.returncode != 0:
            raise StepError(
                f"`{shlex.join([Path(command[0]).name, *command[1:]])}` ended with exit code {done.returncode}:\n"
                f"{done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout


def _side_by_side(action: Callable[[Server], None], processes: Iterable[Server]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(action, processes))


def _too_long(command: list[str]) -> str:
    return f"`{shlex.join([Path(command[0]).name, *command[1:]])}` did not end within {_PRODUCT_TIMEOUT} s"
