"""What happens to the stack, one thing at a time; whoever strikes also brings back what it took."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from celeryscope.errors import Unavailable
from chaos.links import WAYS, Link
from chaos.poison import Poison
from chaos.stack import Stack
from servers import Server


@dataclass(frozen=True)
class Pauses:
    """Seconds for which something is gone."""

    killed: float = 5
    frozen: float = 60
    elasticsearch: float = 120
    link: float = 20
    disk: float = 40
    between: float = 5
    """From the moment at which all are ready again to the next fault."""


QUICK = Pauses(killed=2, frozen=10, elasticsearch=20, link=5, disk=8, between=0.5)


@dataclass(frozen=True)
class Fault:
    """``strike`` returns when all that it took is there again, or is starting."""

    name: str
    seconds: float
    """How long it takes, roughly, until all are ready again."""
    strike: Callable[[], None]


def faults(stack: Stack, pauses: Pauses, poison: Poison) -> list[Fault]:
    """All of them, in no special order."""
    return [
        *_kills(stack, pauses),
        *_freezes(stack, pauses),
        *(fault for link in stack.links for fault in _of_link(link, pauses)),
        Fault("Elasticsearch away", pauses.elasticsearch + 15, partial(_away, stack.elasticsearch, pauses)),
        Fault("disk of the spool full", pauses.disk + 5, partial(_fill, stack, pauses)),
        Fault("rolling restart", 80, partial(_restart_all, stack)),
        Fault("poison in every topic", 5, poison.put),
    ]


def _kills(stack: Stack, pauses: Pauses) -> Iterator[Fault]:
    mortal = [name for name in stack.services | stack.servers if name.startswith(("collector", "indexer", "broker"))]
    for name in mortal:
        process = (stack.services | stack.servers)[name]
        yield Fault(f"{name} killed", pauses.killed + 10, partial(_kill, process, pauses))


def _freezes(stack: Stack, pauses: Pauses) -> Iterator[Fault]:
    processes = stack.services | stack.servers
    for name in ("collector", "indexer 1", f"broker {len(stack.kafka.brokers)}", "elasticsearch"):
        yield Fault(f"{name} frozen", pauses.frozen + 5, partial(_freeze, processes[name], pauses))


def _of_link(link: Link, pauses: Pauses) -> Iterator[Fault]:
    for way in WAYS:
        yield Fault(f"{link.name} {way}", pauses.link + 5, partial(_spoil, link, way, pauses))


def _kill(process: Server, pauses: Pauses) -> None:
    process.kill()
    time.sleep(pauses.killed)
    process.start()


def _freeze(process: Server, pauses: Pauses) -> None:
    process.signal(signal.SIGSTOP)
    with _afterwards(partial(process.signal, signal.SIGCONT)):
        time.sleep(pauses.frozen)


def _away(process: Server, pauses: Pauses) -> None:
    process.stop()
    time.sleep(pauses.elasticsearch)
    process.start()


def _spoil(link: Link, way: str, pauses: Pauses) -> None:
    link.each(WAYS[way])
    with _afterwards(partial(link.each, lambda proxy: proxy.mend())):
        time.sleep(pauses.link)


def _fill(stack: Stack, pauses: Pauses) -> None:
    """Again and again: what the shipper frees is taken, too. Raises Unavailable when there is no such disk."""
    if not stack.has_disk:
        raise Unavailable("not done: no file system can be mounted here")
    with _afterwards(stack.disk.free):
        deadline = time.monotonic() + pauses.disk
        while time.monotonic() < deadline:
            stack.disk.fill()
            time.sleep(0.2)


def _restart_all(stack: Stack) -> None:
    """One after the other, senders first; each is ready before the next one's turn."""
    for process in reversed(stack.services.values()):
        process.stop()
        process.start()
    for broker in stack.kafka.brokers:
        broker.stop()
        broker.start()
        stack.kafka.wait_in_sync()
    stack.elasticsearch.stop()
    stack.elasticsearch.start()


@contextmanager
def _afterwards(action: Callable[[], None]) -> Iterator[None]:
    """Also when the run is interrupted: a frozen process would not end."""
    try:
        yield
    finally:
        action()
