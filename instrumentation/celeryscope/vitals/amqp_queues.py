"""Queues on AMQP: a passive declaration tells their depth; the election is who consumes a queue of ours.

Each queue has a queue of ours beside it, always empty, that goes when its last consumer does. Whoever finds it without
a consumer consumes it, exclusively; the broker takes the consumer away as soon as that worker's connection ends. A
declaration tells whether there is one, so those not elected cause no error, and no line in the broker's log.
"""

import contextlib
from typing import Any, Final

from celeryscope import semconv

_NAME: Final = "celeryscope.depth."
_TAKEN: Final = "exclusive use"
"""What RabbitMQ says when another worker consumed the queue between our two commands."""
_NOT_FOUND: Final = 404


class AmqpQueues:
    """Elects by exclusive consumers; a few commands for each queue and interval."""

    def __init__(self, connection: Any, identity: str, lease: float) -> None:  # noqa: ARG002 - the connection is both
        """``connection``: a kombu connection of our own, whose end is the end of what was won."""
        self._connection = connection
        self._identity = identity
        # A channel for each: what goes wrong on a channel takes its consumers along.
        self._won: dict[str, Any] = {}
        self._asks: Any = None

    def elected(self, queue: str) -> bool:
        """See ``Queues``."""
        won = self._won.pop(queue, None)
        if won is not None and won.is_open:
            self._won[queue] = won
            return True
        _, _, consumers = self._asking().queue_declare(
            _NAME + queue, durable=True, auto_delete=True, arguments={"x-queue-type": "classic"}
        )
        if consumers:
            return False
        channel = self._connection.connection.channel()
        try:
            channel.basic_consume(_NAME + queue, consumer_tag=f"{self._identity} {queue}", no_ack=True, exclusive=True)
        except Exception as error:
            if _TAKEN in str(error):
                channel.close()
                return False
            raise
        self._won[queue] = channel
        return True

    def look(self, queue: str) -> dict[str, int] | None:
        """See ``Queues``."""
        try:
            _, messages, consumers = self._asking().queue_declare(queue, passive=True)
        except Exception as error:
            if getattr(error, "reply_code", None) == _NOT_FOUND:
                return None
            raise
        return {semconv.QUEUE_DEPTH: messages, semconv.QUEUE_CONSUMERS: consumers}

    def _asking(self) -> Any:
        """The one channel for questions, kept open.

        Operators of RabbitMQ alert on channels that come and go, and one that closes may write an error to its log.
        """
        if self._asks is None or not self._asks.is_open:
            self._asks = self._connection.connection.channel()
        return self._asks

    def keep(self) -> None:
        """See ``Queues``."""
        self._connection.connection.send_heartbeat()

    def resign(self) -> None:
        """See ``Queues``; the queues of ours go with their consumers."""
        self._won.clear()
        self._asks = None
        with contextlib.suppress(Exception):
            self._connection.connection.close()
