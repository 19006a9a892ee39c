"""Addresses of processes: ``http(s)://host:port`` of one, ``dns+http(s)://name:port`` of each that the name stands for.

A name in DNS may have an address for each copy of a service: a headless Service of Kubernetes, a scaled service of
Docker Compose. A request to such a name reaches any one of them, and counters are each process's own.
"""

import socket
from dataclasses import dataclass

from urllib3.util import parse_url

EACH = "dns+"


@dataclass(frozen=True, slots=True)
class Process:
    """One process that can be asked."""

    url: str
    name: str | None = None
    """Whom its certificate names, where that is not the host of ``url``."""


def processes_at(address: str) -> list[Process]:
    """The processes behind an address of the settings; one that is not known, or can be none, stands for itself."""
    if not address.startswith(EACH):
        return [Process(address)]
    address = address.removeprefix(EACH)
    try:
        url = parse_url(address)
        host = (url.host or "").strip("[]")
        found = socket.getaddrinfo(host, url.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        # A port that is no number, a name that DNS can't have: who asks it says that it tells nothing.
        return [Process(address)]
    addresses = sorted({str(where[0]) for *_, where in found})
    return [Process(url._replace(host=f"[{each}]" if ":" in each else each).url, host) for each in addresses]
