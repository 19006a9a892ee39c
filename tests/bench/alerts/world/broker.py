"""A broker: queues, who consumes from them, what is lost in it, and what it delivers again."""

from collections import defaultdict, deque
from collections.abc import Callable
from random import Random
from typing import Protocol

from alerts.world.engine import Engine
from alerts.world.messages import Job, Message


class Consumer(Protocol):
    """A worker, as a broker sees it."""

    @property
    def load(self) -> float:
        """Tasks that it has, for each of its processes."""

    def has_room(self) -> bool:
        """Whether it takes a message now."""

    def take(self, message: Message) -> None:
        """The worker has received it."""


class Broker:
    """RabbitMQ delivers again at once when a consumer's connection ends, Redis after its visibility timeout."""

    def __init__(self, engine: Engine, chance: Random, kind: str, name: str, visibility: float) -> None:
        self._chance = chance
        self.is_redis = kind == "redis"
        self.system = kind
        self.url = f"redis://{name}:6379/0" if self.is_redis else f"amqp://{name}:5672//"
        self.transport = "redis" if self.is_redis else "amqp"
        self.visibility = visibility
        self.is_up = True
        self.queues: dict[str, deque[Message]] = defaultdict(deque)
        self.consumers: dict[str, list[Consumer]] = defaultdict(list)
        self.unacknowledged = 0
        self.swallows: Callable[[Message], bool] = lambda _: False
        self._engine = engine

    def publish(self, message: Message) -> None:
        """The message is in its queue, unless the broker swallows it."""
        if not self.swallows(message):
            self.queues[message.kind.queue].append(message)
            self.deliver(message.kind.queue)

    def deliver(self, queue: str) -> None:
        """Hand over what consumers have room for."""
        waiting = self.queues[queue]
        while self.is_up and waiting:
            ready = [consumer for consumer in self.consumers[queue] if consumer.has_room()]
            if not ready:
                return
            least = min(consumer.load for consumer in ready)
            self._chance.choice([each for each in ready if each.load == least]).take(waiting.popleft())

    def took(self, job: Job) -> None:
        """A consumer has it, and has not acknowledged it."""
        self.unacknowledged += 1
        if self.is_redis:
            self._engine.after(self.visibility, self._look, job)

    def acknowledge(self, job: Job) -> None:
        """It is done with; it won't come again."""
        if not job.acknowledged:
            job.acknowledged = True
            self.unacknowledged -= 1

    def give_back(self, jobs: list[Job], at_once: bool) -> None:
        """What a consumer held when it ended; ``at_once``: it could say so itself."""
        for job in jobs:
            if not job.acknowledged and (at_once or not self.is_redis):
                self._again(job)

    def _look(self, job: Job) -> None:
        if not job.acknowledged:
            self._again(job)

    def _again(self, job: Job) -> None:
        self.acknowledge(job)
        message = job.message
        again = Message(
            message.id,
            message.kind,
            message.retries,
            message.origin,
            message.header,
            message.arguments,
            message.eta,
            message.told_eta,
            redelivered=True,
        )
        self.publish(again)
