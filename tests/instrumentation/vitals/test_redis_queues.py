"""Queues on a real Redis: who looks, and what is there to see."""

from collections.abc import Iterator

import pytest
from kombu import Connection, Exchange, Producer, Queue

from celeryscope.vitals.redis_queues import RedisQueues
from servers import Redis
from support.waiting import until

pytestmark = pytest.mark.redis

PREFIX = "shop:"


@pytest.fixture
def connection(redis: Redis) -> Iterator[Connection]:
    with Connection(redis.url, transport_options={"global_keyprefix": PREFIX}) as connected:
        yield connected
        connected.default_channel.client.connection_pool.disconnect()


def test_the_first_that_asks_looks_after_a_queue_until_it_resigns(connection: Connection) -> None:
    first, second = (RedisQueues(connection, name, lease=60) for name in ("one", "two"))
    assert [first.elected("resigned"), second.elected("resigned"), first.elected("resigned")] == [True, False, True]
    first.resign()
    assert [second.elected("resigned"), first.elected("resigned")] == [True, False]
    second.resign()


def test_each_queue_has_an_election_of_its_own(connection: Connection) -> None:
    first, second = (RedisQueues(connection, name, lease=60) for name in ("one", "two"))
    assert [first.elected("left"), second.elected("right"), first.elected("right")] == [True, True, False]
    first.resign()
    second.resign()


def test_who_falls_silent_is_followed_when_its_lease_ends_and_does_not_come_back(connection: Connection) -> None:
    first, second = (RedisQueues(connection, name, lease) for name, lease in (("one", 0.3), ("two", 60)))
    assert first.elected("silent")
    until(lambda: second.elected("silent"), what="the lease ends")
    assert not first.elected("silent")
    second.resign()


def test_who_renews_stays(connection: Connection) -> None:
    first = RedisQueues(connection, "one", lease=60)
    assert all(first.elected("renewed") for _ in range(3))
    first.resign()


def test_the_depth_counts_all_priorities_under_the_applications_key_prefix(connection: Connection) -> None:
    exchange = Exchange("deep")
    queue = Queue("deep", exchange, routing_key="deep")
    producer = Producer(connection.default_channel, exchange, routing_key="deep")
    for priority in (0, 0, 4, 9):
        producer.publish("text", declare=[queue], priority=priority)
    look = RedisQueues(connection, "one", lease=60).look("deep")
    assert look["celery.queue.depth"] == 4
    assert [look[f"celery.queue.depth_of_priority.{step}"] for step in (0, 3, 6, 9)] == [2, 1, 0, 1]
    assert look["celery.broker.unacknowledged"] == 0
