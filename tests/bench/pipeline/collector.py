"""Items per CPU-second of a collector process, from OTLP requests on a socket to Kafka's acknowledgement (acks=all).

What is counted is the whole process: HTTP, decompression, decoding, the default processors, encoding, Kafka's client.
Senders are in the benchmark's process, on four connections; half of the items are events, half are spans. The collector
has answered some requests before a run begins. A run counts only when every item of it was accepted and as many
messages are in Kafka as the collector says.
"""

import gc
import gzip
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from statistics import median
from time import process_time
from typing import Any

import orjson
from kafka import KafkaConsumer, TopicPartition

from collector_process import TOPICS, Collector, create_topics
from figures import Figure
from measuring import MeasurementFailed, cpu_now, in_turn
from pipeline import load
from pipeline.bench import Bench
from pipeline.go_collector import GoCollector
from support import messages

_CONNECTIONS = 4
_DIFFERENT = 8
_PATHS = {load.LOGS: "/v1/logs", load.SPANS: "/v1/traces"}
_JSON, _PROTOBUF = "application/json", "application/x-protobuf"
_ITEMS = (1, 10, 100, 500)
_REQUESTS = {1: 1200, 10: 800, 100: 240, 500: 100}
_GOAL_AT_500 = 50_000
_ALL_ACCEPTED = {b"{}", b"", b'{"partialSuccess":{}}', b"\n\0"}
"""Export responses without a partial success, or with an empty one, as Go writes them."""


@dataclass(frozen=True)
class Shape:
    """One way to send: how the requests are encoded and how many items each has."""

    name: str
    encode: Callable[[str, bytes], bytes]
    headers: dict[str, str]
    items: int


@dataclass(frozen=True)
class _Request:
    path: str
    body: bytes


def figures(bench: Bench) -> Iterator[Figure]:
    """Items per CPU-second for each encoding and size of request."""
    create_topics(bench.kafka)
    shapes = [
        Shape(name, encode, headers, items)
        for items in ((500,) if bench.quick else _ITEMS)
        for name, encode, headers in (
            ("OTLP/JSON", _as_it_is, {"Content-Type": _JSON}),
            ("OTLP/JSON, gzip", _gzipped, {"Content-Type": _JSON, "Content-Encoding": "gzip"}),
            ("OTLP/protobuf", messages.as_protobuf, {"Content-Type": _PROTOBUF}),
        )
    ]
    with Collector(bench.kafka.bootstrap_servers, bench.new_folder("collector")) as collector:
        runs = [partial(_run, bench, collector, shape) for shape in shapes]
        for shape, rates in zip(shapes, in_turn(runs, bench.runs), strict=True):
            goal = _GOAL_AT_500 if shape.items == 500 else None
            name = f"collector: {shape.name}, {shape.items} items a request"
            yield Figure(name, median(rates), "items/CPU-s", goal, at_least=True)
    rates = [_of_orjson() for _ in range(bench.runs)]
    yield Figure("beside it: orjson parses and writes the same JSON", median(rates), "items/CPU-s")
    if bench.go_collector:
        yield from _peer(bench, [shape for shape in shapes if shape.items == 500])


def _of_orjson() -> float:
    """What the machine makes of it now: the least that any receiver of JSON in Python has to do."""
    bodies = [body for kind in _PATHS for body in load.requests(kind, _DIFFERENT, 500)]
    # As in the collector: what is parsed has no cycles to be looked for.
    gc.disable()
    begin = process_time()
    for body in bodies:
        orjson.dumps(orjson.loads(body))
    used = process_time() - begin
    gc.enable()
    return len(bodies) * 500 / used


def _peer(bench: Bench, shapes: list[Shape]) -> Iterator[Figure]:
    folder = bench.new_folder("go-collector")
    with GoCollector(bench.go_collector, bench.kafka.bootstrap_servers, folder) as peer:
        for shape in shapes:
            rates = [_run_of_peer(bench, peer, shape) for _ in range(bench.runs)]
            yield Figure(f"go-collector: {shape.name}, 500 items a request", median(rates), "items/CPU-s")


def _run_of_peer(bench: Bench, peer: GoCollector, shape: Shape) -> float:
    different = _different(shape)
    number = _REQUESTS[shape.items] // (2 if bench.quick else 1)
    _send(peer, shape, different)
    before = _stored(bench.kafka.bootstrap_servers)
    begin = cpu_now(peer.process.pid)
    _send(peer, shape, list(islice(cycle(different), number)))
    used = cpu_now(peer.process.pid) - begin
    if _stored(bench.kafka.bootstrap_servers) - before < number:
        raise MeasurementFailed(f"The Go collector put fewer than {number} messages into Kafka; see {peer.folder}.")
    return number * shape.items / used


def _run(bench: Bench, collector: Collector, shape: Shape) -> float:
    """Items per CPU-second of the collector."""
    different = _different(shape)
    number = _REQUESTS[shape.items] // (2 if bench.quick else 1)
    _send(collector, shape, different)
    before = _account(bench, collector)
    begin = cpu_now(collector.process.pid)
    _send(collector, shape, list(islice(cycle(different), number)))
    used = cpu_now(collector.process.pid) - begin
    items, said, stored = (after - earlier for after, earlier in zip(_account(bench, collector), before, strict=True))
    if items != number * shape.items or said != stored:
        raise MeasurementFailed(
            f"Of {number * shape.items} items the collector accepted {items}, in {said} messages; Kafka has {stored}."
        )
    return number * shape.items / used


def _different(shape: Shape) -> list[_Request]:
    return [
        _Request(path, shape.encode(kind, body))
        for kind, path in _PATHS.items()
        for body in load.requests(kind, _DIFFERENT, shape.items)
    ]


def _send(collector: Collector | GoCollector, shape: Shape, requests: list[_Request]) -> None:
    def post(request: _Request) -> None:
        headers = {name.replace("-", "_"): value for name, value in shape.headers.items()}
        media_type = headers.pop("Content_Type")
        answer = collector.post(request.path, request.body, media_type, **headers)
        if answer.status != 200 or answer.data not in _ALL_ACCEPTED:
            raise MeasurementFailed(f"The collector answered {answer.status} {answer.data!r}; see {collector.folder}.")

    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        for done in [threads.submit(post, request) for request in requests]:
            done.result()


def _account(bench: Bench, collector: Collector) -> tuple[int, int, int]:
    """Records accepted and messages acknowledged as the collector says, messages that are in Kafka."""
    said = collector.get("/metrics").data.decode()
    names = ("records_accepted", "kafka_messages")
    accepted, acknowledged = (_sum(f"celeryscope_collector_{name}_total", said) for name in names)
    return accepted, acknowledged, _stored(bench.kafka.bootstrap_servers)


def _sum(name: str, exposition: str) -> int:
    return sum(int(float(value)) for value in re.findall(rf"^{name}{{.*}} (\S+)$", exposition, re.MULTILINE))


def _stored(bootstrap_servers: str) -> int:
    consumer: Any = KafkaConsumer(bootstrap_servers=bootstrap_servers)
    try:
        partitions = [TopicPartition(topic, each) for topic in TOPICS for each in consumer.partitions_for_topic(topic)]
        return int(sum(consumer.end_offsets(partitions).values()))
    finally:
        consumer.close()


def _as_it_is(_kind: str, body: bytes) -> bytes:
    return body


def _gzipped(_kind: str, body: bytes) -> bytes:
    return gzip.compress(body, 6)
