"""What a request takes from the exporter, it gives back however it ends."""

import asyncio
import threading

import pytest

from celeryscope_collector.encode import Message
from celeryscope_collector.exporter import KafkaExporter, Sending
from celeryscope_collector.metrics import Metrics


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

    asyncio.run(scenario())
    assert in_flight._value.get() == 0
