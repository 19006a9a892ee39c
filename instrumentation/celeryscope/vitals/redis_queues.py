"""Queues on Redis: lists, one for each priority step, and a lease on a key for the election."""

import time
from typing import Any, Final

from celeryscope import semconv

_KEY: Final = "celeryscope.depth."
_SAFE: Final = 0.6
"""Part of a lease in which it is certainly still ours, whatever the network does to the renewal."""


class RedisQueues:
    """Elects with ``SET NX PX``, renews with ``SET XX PX``; a few commands for each queue and interval."""

    def __init__(self, connection: Any, identity: str, lease: float) -> None:
        """``lease``: seconds after which another worker takes over from one that fell silent."""
        from redis import Redis

        self._channel = connection.default_channel
        # A plain client: kombu's puts its key prefix before the keys of some commands and not of others.
        self._client = Redis(connection_pool=self._channel.client.connection_pool)
        self._prefix = getattr(self._channel, "global_keyprefix", "")
        self._identity = identity
        self._lease = lease
        self._won: dict[str, float] = {}

    def elected(self, queue: str) -> bool:
        """See ``Queues``."""
        now = time.monotonic()
        ours = now - self._won.get(queue, -self._lease) < self._lease * _SAFE
        key = f"{self._prefix}{_KEY}{queue}"
        if self._client.set(key, self._identity, px=int(self._lease * 1000), nx=not ours, xx=ours):
            self._won[queue] = now
            return True
        self._won.pop(queue, None)
        return False

    def look(self, queue: str) -> dict[str, int]:
        """See ``Queues``."""
        steps = self._channel.priority_steps
        pipeline = self._client.pipeline(transaction=False)
        for step in steps:
            pipeline.llen(f"{self._prefix}{self._channel._q_for_pri(queue, step)}")
        pipeline.hlen(f"{self._prefix}{self._channel.unacked_key}")
        *depths, unacknowledged = pipeline.execute()
        by_priority = {
            f"{semconv.QUEUE_DEPTH_OF_PRIORITY_PREFIX}{step}": depth for step, depth in zip(steps, depths, strict=True)
        }
        return {semconv.QUEUE_DEPTH: sum(depths), **by_priority, semconv.BROKER_UNACKNOWLEDGED: unacknowledged}

    def keep(self) -> None:
        """See ``Queues``; the lease outlasts an interval."""

    def resign(self) -> None:
        """See ``Queues``."""
        for queue, won in self._won.items():
            if time.monotonic() - won < self._lease * _SAFE:
                self._client.delete(f"{self._prefix}{_KEY}{queue}")
        self._won.clear()
