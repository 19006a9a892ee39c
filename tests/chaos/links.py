"""The wires between the parts of the stack."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from support.proxy import Proxy

SLOW = 0.3
"""Seconds for which a slow wire holds back each 64 KiB, in each direction."""


class Link(NamedTuple):
    """All connections between two parts."""

    name: str
    proxies: Sequence[Proxy]

    def each(self, change: Callable[[Proxy], None]) -> None:
        for proxy in self.proxies:
            change(proxy)


def cut(proxy: Proxy) -> None:
    proxy.cut()


def stall(proxy: Proxy) -> None:
    proxy.stall()


def slow(proxy: Proxy) -> None:
    proxy.slow(SLOW)


WAYS = {"cut": cut, "silent": stall, "slow": slow}
"""How a wire fails: connections are reset, packets get lost, everything takes longer."""
