"""What a consumer does when its partitions go to another one."""

import logging
from typing import Any

import pytest
from kafka import TopicPartition

from celeryscope_pipelines.indexer import consumer as module
from celeryscope_pipelines.indexer.batch import Message
from celeryscope_pipelines.indexer.consumer import Consumer, Limits
from support.coroutines import awaited

GOING = TopicPartition("logs", 0)


class Client:
    """A Kafka client that has nothing and takes every commit."""

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, Any] = {}

    async def commit_async(self, offsets: dict[TopicPartition, Any]) -> None:
        self.committed |= offsets


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def consumer(client: Client, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """One that has read a message of the partition that is to go."""
    monkeypatch.setattr(module, "_HAND_OVER", 0.01)
    found = Consumer(client, None, Limits(1, 1000, 10, 1000))  # type: ignore[arg-type]
    found._backlog.add([Message("logs", 0, 7, b"{}")])
    return found


def test_a_batch_that_is_not_done_in_time_is_left_to_the_other_and_that_is_said(
    consumer: Consumer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    consumer._backlog.take()
    awaited(consumer.on_partitions_revoked([GOING]))
    assert client.committed == {}
    assert "are not done yet" in caplog.text


def test_a_batch_that_is_done_is_committed_before_its_partition_goes(
    consumer: Consumer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    flight = consumer._backlog.take()
    assert flight is not None
    consumer._backlog.done(flight)
    awaited(consumer.on_partitions_revoked([GOING]))
    assert client.committed[GOING].offset == 8
    assert caplog.text == ""
