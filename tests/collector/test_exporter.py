"""What a request takes from the exporter, it gives back however it ends."""

import asyncio
import threading

import pytest
from kafka.errors import KafkaTimeoutError

from celeryscope.errors import Unavailable
from celeryscope_collector.encode import Message
from celeryscope_collector.exporter import KafkaExporter, Sending
from celeryscope_collector.kafka_check import KafkaCheck
from celeryscope_collector.metrics import Metrics
from celeryscope_collector.records import LOGS
from support.coroutines import awaited


class AskedWhileADeliveryFails(KafkaCheck):
    def __init__(self, exporter: KafkaExporter) -> None:
        self.exporter = exporter

    def partitions(self) -> dict[str, int]:
        self.exporter.settled(Message("topic", 0, b"", 1), KafkaTimeoutError(), self.exporter._producer)
        return {"topic": 1}


def test_a_delivery_that_fails_while_kafka_is_asked_is_not_forgotten() -> None:
    exporter = KafkaExporter({}, Sending(1, 1000, None, 0), Metrics())
    exporter._producer = object()
    exporter._check = AskedWhileADeliveryFails(exporter)
    exporter._connect()
    assert exporter.problem is not None
    with pytest.raises(Unavailable):
        exporter.partitions(LOGS)


def test_a_sender_that_gives_up_while_others_are_sent_leaves_nothing_in_flight() -> None:
    metrics = Metrics()
    exporter = KafkaExporter({}, Sending(1, 1000, None, 0), metrics)
    in_flight = metrics.bytes_in_flight.labels("kafka")

    async def scenario() -> None:
        others_are_sent = threading.Event()
        exporter._sending.submit(others_are_sent.wait)
        export = asyncio.create_task(exporter.export([Message("topic", 0, b"x" * 100, 1)]))
        await asyncio.sleep(0)
        assert in_flight._value.get() == 100
        export.cancel()
        with pytest.raises(asyncio.CancelledError):
            await export
        others_are_sent.set()
        await exporter.stop()

    awaited(scenario())
    assert in_flight._value.get() == 0
