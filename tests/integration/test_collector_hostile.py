"""Whatever comes in over a socket is answered, costs bounded memory, and is never a 500."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc
import orjson
import psutil
import pytest
import urllib3
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

import grpc_calls
from celeryscope_collector.tokens import hash_of, new_token
from collector_process import Collector, bodies, collecting, log, logs_request, unique
from servers import Kafka
from support.waiting import until

pytestmark = pytest.mark.kafka
PROTOBUF = "application/x-protobuf"
CONNECTIONS = 40
PATIENT = {
    "CELERYSCOPE_COLLECTOR_HEADER_TIMEOUT": "90",
    "CELERYSCOPE_COLLECTOR_REQUEST_TIMEOUT": "90",
    "CELERYSCOPE_COLLECTOR_MAX_CONNECTIONS": str(CONNECTIONS),
}
IMPATIENT = {
    "CELERYSCOPE_COLLECTOR_HEADER_TIMEOUT": "2",
    "CELERYSCOPE_COLLECTOR_REQUEST_TIMEOUT": "2",
}
MAX_MEMORY = 400_000_000


@pytest.fixture(scope="module")
def collector(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One that gives nobody up only because the machine is slow."""
    with bounded(kafka, tmp_path_factory.mktemp("collector"), PATIENT) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One that gives up whoever is slow; only for those who mean to be."""
    with bounded(kafka, tmp_path_factory.mktemp("impatient"), IMPATIENT) as running:
        yield running


@contextmanager
def bounded(kafka: Kafka, folder: Path, settings: dict[str, str]) -> Iterator[Collector]:
    """A collector that is to live until the end, in little memory and without a bug."""
    with collecting(kafka, folder, settings) as running:
        with Memory(running.process.pid) as memory:
            yield running
        assert running.process.poll() is None
        assert memory.peak < MAX_MEMORY, f"{memory.peak / 1e6:.0f} MB"
        assert "Traceback" not in (folder / "collector.log").read_text()


class Memory(threading.Thread):
    """Watches how much memory a process holds at most, in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.process = psutil.Process(pid)
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.02):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def __enter__(self) -> "Memory":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


def seconds_of_cpu(collector: Collector) -> float:
    """What it has cost so far, however long it had to wait for its turn."""
    times = psutil.Process(collector.process.pid).cpu_times()
    return float(times.user + times.system)


def connected(collector: Collector) -> socket.socket:
    host, port = collector.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(90)
    return connection


def head(collector: Collector, length: int) -> bytes:
    return (
        f"POST /v1/logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {collector.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the collector closes; a reset counts as that."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def refuses(connection: socket.socket, parts: Iterable[bytes], pause: float = 0) -> bool:
    """Whether the collector closes the connection before all parts are sent."""
    try:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
    except ConnectionError:
        return True
    return False


def asks_to_come_back(answer: bytes) -> bool:
    """A status for which OTLP's senders keep their data; 408 is none of these."""
    return answer.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 1\r\n" in answer


def is_healthy(connection: socket.socket) -> bool:
    """Whether a request on this connection is answered with 200; it stays open."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"ok"):
        part = connection.recv(65536)
        if not part:
            return False
        answer += part
    return answer.startswith(b"HTTP/1.1 200 ")


def test_a_head_that_does_not_end_is_given_up(impatient: Collector) -> None:
    beginnings = (b"", b"POST /v1/logs HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"\r\n\r\n")
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(impatient)) for _ in beginnings]
        for connection, beginning in zip(connections, beginnings, strict=True):
            connection.sendall(beginning)
        assert all(asks_to_come_back(answer_of(connection)) for connection in connections)


def test_a_head_that_drips_is_given_up(impatient: Collector) -> None:
    with connected(impatient) as connection:
        connection.sendall(b"POST /v1/logs HTTP/1.1\r\n")
        drips = (f"x-{number}: y\r\n".encode() for number in range(900))
        assert refuses(connection, drips, pause=0.1)


def test_a_body_that_drips_on_after_its_refusal_is_given_up(impatient: Collector) -> None:
    with connected(impatient) as connection:
        connection.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        assert refuses(connection, (b"x" for _ in range(900)), pause=0.1)


def test_the_next_head_on_a_connection_has_its_own_time(impatient: Collector) -> None:
    with connected(impatient) as connection:
        for _ in range(2):
            assert is_healthy(connection)
            # Between requests a connection may be idle for longer than a head may take.
            time.sleep(2.2)
        connection.sendall(b"GET /")
        assert asks_to_come_back(answer_of(connection))


@pytest.mark.parametrize("part", [b"x-%d: " + b"y" * 50_000 + b"\r\n", b"x-%d: z\r\n"], ids=["long", "many"])
def test_a_head_without_measure_is_refused(collector: Collector, part: bytes) -> None:
    with connected(collector) as connection:
        connection.sendall(b"POST /v1/logs HTTP/1.1\r\n")
        assert refuses(connection, (part % number for number in range(1_000_000)))
    assert collector.get("/healthz").status == 200


def test_a_long_path_is_refused_and_a_long_body_that_comes_with_its_head_is_not(collector: Collector) -> None:
    with connected(collector) as connection:
        connection.sendall(b"GET /" + b"x" * 100_000)
        assert answer_of(connection).startswith(b"HTTP/1.1 431 ")
    assert collector.post("/v1/logs", logs_request(log("x" * 500_000))).status == 200


def test_a_body_that_does_not_come_is_given_up_and_what_it_held_is_free_again(impatient: Collector) -> None:
    body = b" " * 1_000_000
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(impatient)) for _ in range(20)]
        for connection in connections:
            # On a slow machine the collector may give it up before it has all that comes.
            with suppress(ConnectionError):
                connection.sendall(head(impatient, len(body) + 1) + body)
        for connection in connections:
            assert asks_to_come_back(answer_of(connection))
    until(lambda: b'bytes_in_flight{stage="requests"} 0.0' in impatient.get("/metrics").data)


def test_too_many_connections_are_answered_and_those_that_are_there_go_on(collector: Collector) -> None:
    collector.http.clear()
    with ExitStack() as stack:
        first = [stack.enter_context(connected(collector)) for _ in range(CONNECTIONS - 1)]
        for connection in first:
            assert is_healthy(connection)
        late = [stack.enter_context(connected(collector)) for _ in range(20)]
        answers = [answer_of(connection) for connection in late[1:]]
        assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 503 Service Unavailable"}
        assert all(b"retry-after: 5\r\n" in answer for answer in answers)
        assert is_healthy(first[0])

    def answers() -> bool:
        # A connection too many may also be reset before its answer is read.
        with suppress(urllib3.exceptions.HTTPError):
            return collector.get("/healthz").status == 200
        return False

    until(answers)


def nested_json(depth: int) -> bytes:
    return logs_request(log()).replace(
        b'{"stringValue":"hello"}', b'{"arrayValue":{"values":[' * depth + b'{"intValue":1}' + b"]}}" * depth
    )


def protobuf_with(**record: object) -> bytes:
    records = [LogRecord(time_unix_nano=17, **record)]
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])])
    return bytes(request.SerializeToString())


def nested_protobuf(depth: int) -> bytes:
    value = AnyValue(int_value=1)
    for _ in range(depth):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    return protobuf_with(body=value)


def length_delimited(number: int, content: bytes) -> bytes:
    size, encoded = len(content), b""
    while size > 0x7F:
        encoded, size = encoded + bytes((size & 0x7F | 0x80,)), size >> 7
    return bytes((number << 3 | 2,)) + encoded + bytes((size,)) + content


def endless_protobuf(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        # An array value (5) of an AnyValue with values (1).
        content = length_delimited(5, length_delimited(1, content))
    return length_delimited(1, length_delimited(2, length_delimited(2, length_delimited(5, content))))


MANY = 30_000
KEY = "k" * 1_000_000
INVALID_UTF8 = protobuf_with(severity_text="aXb").replace(b"aXb", b"a\xffb")
HOSTILE = {
    "JSON nested in 15 values": (nested_json(7), {200}),
    "JSON nested in 200 values": (nested_json(200), {200}),
    "JSON nested in 100,000 values": (nested_json(100_000), {400}),
    "brackets": (b"[" * 400_000, {400}),
    "unknown fields, nested": (b'{"x":' * 500 + b"1" + b"}" * 500, {200}),
    "invalid UTF-8": (logs_request(log("aXb")).replace(b"aXb", b"a\xffb"), {400}),
    "half a surrogate": (logs_request(log("aXb")).replace(b"aXb", b"a\\ud800b"), {400}),
    "a zero byte": (logs_request(log("aXb")).replace(b"aXb", b"a\\u0000b"), {200}),
    "NaN": (logs_request(log()).replace(b'{"stringValue":"hello"}', b'{"doubleValue":NaN}'), {400}),
    "NaN as a string": (logs_request(log()).replace(b'{"stringValue":"hello"}', b'{"doubleValue":"NaN"}'), {200}),
    "a number beyond all": (logs_request(log()).replace(b":9", b":1e999"), {200, 400}),
    "a whole number beyond all": (logs_request(log()).replace(b":9", b":" + b"9" * 5000), {200, 400}),
    "a time before time": (logs_request(log()).replace(b'"1700000000000000000"', b"-1"), {200}),
    "a key of a megabyte": (logs_request(log(**{KEY: "x"})), {200}),
    "many attributes": (logs_request(log(**{f"k{number}": "" for number in range(MANY)})), {200}),
    "many records": (logs_request(*[{}] * MANY), {200}),
    "many empty records": (b'{"resourceLogs":[' + b"{}," * 2_000_000 + b"{}]}", {413}),
    "many resources": (orjson.dumps({"resourceLogs": [{}] * MANY}), {200}),
    "many gzip members": (gzip.compress(b"") * (8_000_000 // len(gzip.compress(b""))), {400}),
    "gzip in gzip": (gzip.compress(gzip.compress(logs_request(log()))), {400}),
    "a gzip bomb": (gzip.compress(bytes(1_000_000_000), 1), {413}),
}  # fmt: skip
HOSTILE_PROTOBUF = {
    "nested in 15 values": (nested_protobuf(7), {200}),
    "nested in 40 values": (nested_protobuf(40), {200, 400}),
    "nested in 100,000 values": (endless_protobuf(100_000), {200, 400}),
    "invalid UTF-8": (INVALID_UTF8, {200, 400}),
    "NaN": (protobuf_with(body=AnyValue(double_value=float("nan"))), {200}),
    "infinity": (protobuf_with(body=AnyValue(double_value=float("-inf"))), {200}),
    "a key of a megabyte": (protobuf_with(attributes=[KeyValue(key=KEY)]), {200}),
    "ids of odd lengths": (protobuf_with(trace_id=b"1", span_id=b"2" * 1000), {200}),
    "many empty records": (length_delimited(1, length_delimited(2, length_delimited(2, b"") * 1_200_000)), {413}),
    "many attributes": (protobuf_with(attributes=[KeyValue(key="k")] * 1_200_000), {413}),
    "many values": (protobuf_with(body=AnyValue(array_value=ArrayValue(values=[AnyValue()] * 1_200_000))), {413}),
    "a length beyond the end": (b"\x0a\xff\xff\xff\xff\x07", {400}),
    "a group": (b"\x0b" * 1000, {400}),
}


@pytest.mark.parametrize(("body", "statuses"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_is_answered(collector: Collector, body: bytes, statuses: set[int]) -> None:
    encoding = {"content_encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
    before = seconds_of_cpu(collector)
    answer = collector.post("/v1/logs", body, **encoding)
    assert (answer.status in statuses, json.loads(answer.data) is not None) == (True, True), answer.data[:200]
    assert seconds_of_cpu(collector) - before < 10


@pytest.mark.parametrize(("body", "statuses"), HOSTILE_PROTOBUF.values(), ids=HOSTILE_PROTOBUF)
def test_hostile_protobuf_is_answered_by_http_and_grpc(collector: Collector, body: bytes, statuses: set[int]) -> None:
    answer = collector.post("/v1/logs", body, PROTOBUF)
    assert answer.status in statuses
    with grpc.insecure_channel(collector.grpc_address) as channel:
        if answer.status == 200:
            grpc_calls.call(channel, grpc_calls.LOGS, body, collector.token)
        else:
            error = grpc_calls.refused(channel, grpc_calls.LOGS, body, collector.token)
            too_large = answer.status == 413
            assert (error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED) == too_large
            assert (error.code() is grpc.StatusCode.INVALID_ARGUMENT) != too_large


def test_garbage_on_both_ports_harms_nobody(collector: Collector) -> None:
    for address in (collector.url.removeprefix("http://"), collector.grpc_address):
        host, port = address.split(":")
        http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 5000
        for garbage in (bytes(1000), b"\x16\x03\x01\x02\x00\x01\x00", http2):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(garbage)
    assert collector.post("/v1/logs", logs_request(log())).status == 200
    with grpc.insecure_channel(collector.grpc_address) as channel:
        grpc_calls.call(channel, grpc_calls.LOGS, grpc_calls.logs("x"), collector.token)


def test_many_large_requests_at_once_are_refused_or_kept_but_never_too_many_held(kafka: Kafka, tmp_path: Path) -> None:
    bounded = {
        "CELERYSCOPE_COLLECTOR_MAX_REQUEST_BYTES": "4000000",
        "CELERYSCOPE_COLLECTOR_MAX_BYTES_IN_FLIGHT": "8000000",
    }
    # The bound of Kafka's messages is the default's; what is decoded at once is two requests.
    body = logs_request(*[log("x" * 1000) for _ in range(3000)])
    message = grpc_calls.logs(*["x" * 1000] * 3000)
    with Collector(kafka.bootstrap_servers, tmp_path, bounded) as collector, Memory(collector.process.pid) as memory:

        def send(number: int) -> object:
            if number % 2:
                return collector.post("/v1/logs", body).status
            with grpc.insecure_channel(collector.grpc_address) as channel:
                try:
                    grpc_calls.call(channel, grpc_calls.LOGS, message, collector.token)
                except grpc.RpcError as error:
                    return error.code()
            return 200

        with ThreadPoolExecutor(16) as senders:
            statuses = set(senders.map(send, range(16)))
    assert 200 in statuses
    assert statuses <= {200, 503, grpc.StatusCode.UNAVAILABLE}
    assert memory.peak < MAX_MEMORY, f"{memory.peak / 1e6:.0f} MB"


def test_a_tenant_over_its_rate_is_told_when_to_come_back_and_others_are_not(kafka: Kafka, tmp_path: Path) -> None:
    shop, bank, late = f"s{unique()[:12]}", f"b{unique()[:12]}", new_token()
    default = {"CELERYSCOPE_COLLECTOR_TENANT_RECORDS_PER_SECOND": "1"}
    with Collector(kafka.bootstrap_servers, tmp_path, default, shop) as collector:
        with collector.tokens_file.open("a") as file:
            file.write(f"- {{tenant: {bank}, sha256: {hash_of(late)}}}\n")
            file.write(f"limits:\n  {bank}: {{records_per_second: 100000, request_bytes: 2000}}\n")
        collector.process.send_signal(1)
        collector.wait_for_log("file read again")

        # More than it may send in the next minute, so what follows may take a while.
        assert collector.post("/v1/logs", logs_request(*[log("first")] * 65)).status == 200
        refused = collector.post("/v1/logs", logs_request(log("second")))
        assert (refused.status, 1 <= int(refused.headers["Retry-After"]) <= 60) == (429, True)
        with grpc.insecure_channel(collector.grpc_address) as channel:
            error = grpc_calls.refused(channel, grpc_calls.LOGS, grpc_calls.logs("third"), collector.token)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert 1 <= (grpc_calls.retry_seconds(error) or 0) <= 60
            assert grpc_calls.call(channel, grpc_calls.LOGS, grpc_calls.logs("of the bank"), late) == b""
        bearer = {"Authorization": f"Bearer {late}"}
        assert collector.post("/v1/logs", logs_request(log("x" * 3000)), **bearer).status == 413

    assert set(bodies(kafka.bootstrap_servers, shop)) == {"first"}
    assert bodies(kafka.bootstrap_servers, bank) == ["of the bank"]
