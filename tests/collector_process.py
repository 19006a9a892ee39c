"""The collector as a process of its own, and what its tests say and ask."""

import os
import re
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson
import urllib3
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from prometheus_client.parser import text_string_to_metric_families

from celeryscope import semconv
from celeryscope.service.protobuf import export_request
from celeryscope_collector.tokens import hash_of, new_token
from servers import Kafka
from support.waiting import until

_COMMAND = Path(sys.executable).parent / "celeryscope"
JSON = "application/json"
PROTOBUF_HEADER = ("content-type", b"application/x-protobuf")
TOPICS = (semconv.TOPIC_TRACES, semconv.TOPIC_LOGS)


@dataclass
class Collector:
    """``celeryscope collector run`` as a process of its own, on a free port."""

    kafka: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    tenant: str = "shop"
    token: str = field(default_factory=new_token)
    kafka_is_there: bool = True
    """Whether to wait until requests can be accepted, which takes longer than the start on a machine under load."""

    def __enter__(self) -> Self:
        self.tokens_file = self.folder / "tokens.yaml"
        self.write_tokens({self.token: self.tenant})
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CELERYSCOPE_")}
        environment |= {
            "CELERYSCOPE_COLLECTOR_TOKENS_FILE": str(self.tokens_file),
            "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            **self.settings,
        }
        self.log = (self.folder / "collector.log").open("w")
        self.process = subprocess.Popen(
            [_COMMAND, "collector", "run", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            # So that a test can do what a terminal does.
            process_group=0,
        )
        assert self.process.stdout is not None
        self.announcement = self.process.stdout.readline()
        listening = re.search(r"https?://\S+", self.announcement)
        assert listening, (self.announcement, (self.folder / "collector.log").read_text())
        self.url = listening.group()
        grpc = re.search(r"grpcs?://(\S+)", self.announcement)
        self.grpc_address = grpc.group(1) if grpc else ""
        self.http = urllib3.PoolManager(retries=False, timeout=90, maxsize=8)
        if self.kafka_is_there:
            self.wait_for_log("Kafka is reachable")
        return self

    def wait_for_log(self, text: str, times: int = 1) -> None:
        log = self.folder / "collector.log"
        until(lambda: log.read_text().count(text) >= times, 90, f"{times} x {text!r} in the collector's log")

    def __exit__(self, *_: object) -> None:
        self.http.clear()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(90)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()

    def write_tokens(self, tenants: dict[str, str]) -> None:
        lines = [f"- {{tenant: {tenant}, sha256: {hash_of(token)}}}" for token, tenant in tenants.items()]
        self.tokens_file.write_text("tokens:\n" + "\n".join(lines) + "\n")

    def post(self, path: str, body: bytes, media_type: str = JSON, **headers: str) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": media_type} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.http.request("POST", self.url + path, body=body, headers=headers)

    def get(self, path: str) -> urllib3.BaseHTTPResponse:
        return self.http.request("GET", self.url + path)


@contextmanager
def collecting(kafka: Kafka, folder: Path, settings: dict[str, str] | None = None) -> Iterator[Collector]:
    """A collector for a tenant of its own, on a Kafka that has the topics."""
    create_topics(kafka)
    with Collector(kafka.bootstrap_servers, folder, settings or {}, f"t{unique()[:12]}") as running:
        yield running


def create_topics(kafka: Kafka) -> None:
    with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
        missing = set(TOPICS) - set(admin.list_topics())
        if missing:
            admin.create_topics([NewTopic(name=name, num_partitions=4, replication_factor=1) for name in missing])


def log(text: str = "hello", **attributes: Any) -> dict[str, Any]:
    return {
        "timeUnixNano": "1700000000000000000",
        "severityNumber": 9,
        "severityText": "INFO",
        "body": {"stringValue": text},
        "attributes": [
            {"key": name.replace("__", "."), "value": {"stringValue": value}} for name, value in attributes.items()
        ],
    }


def logs_request(*records: Any, **resource: str) -> bytes:
    attributes = [{"key": name.replace("__", "."), "value": {"stringValue": value}} for name, value in resource.items()]
    scoped = {"scope": {"name": "test"}, "logRecords": records}
    return orjson.dumps({"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [scoped]}]})


def messages(kafka: str, topic: str, tenant: str) -> list[Any]:
    """Everything of a tenant that is in the topic now, as (partition, request)."""
    with_tenant = {"key": semconv.TENANT, "value": {"stringValue": tenant}}
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=500).values():
                found += [
                    message
                    for message in batch
                    if with_tenant in (resource_of(request_in(message)).get("attributes") or [])
                ]
        return found
    finally:
        consumer.close()


def request_in(message: Any) -> dict[str, Any]:
    """The export request of a Kafka message, whichever of the two encodings its header names."""
    if PROTOBUF_HEADER in message.headers:
        return export_request(message.value, "span" if message.topic == semconv.TOPIC_TRACES else "log")
    request: dict[str, Any] = orjson.loads(message.value)
    return request


def resource_of(request: dict[str, Any]) -> dict[str, Any]:
    (first, *_) = request.get("resourceLogs") or request.get("resourceSpans")
    return first["resource"]


def log_records(kafka: str, tenant: str) -> list[dict[str, Any]]:
    return _records(kafka, semconv.TOPIC_LOGS, tenant, ("resourceLogs", "scopeLogs", "logRecords"))


def spans(kafka: str, tenant: str) -> list[dict[str, Any]]:
    return _records(kafka, semconv.TOPIC_TRACES, tenant, ("resourceSpans", "scopeSpans", "spans"))


def _records(kafka: str, topic: str, tenant: str, levels: tuple[str, str, str]) -> list[dict[str, Any]]:
    by_resources, by_scopes, records = levels
    return [
        record
        for message in messages(kafka, topic, tenant)
        for by_resource in request_in(message)[by_resources]
        for by_scope in by_resource[by_scopes]
        for record in by_scope[records]
    ]


def account(collector: Collector, signal: str) -> Counter[str]:
    """Records of a signal, by what became of them (``received``, ``accepted``, ``dropped drop.name`` and so on)."""
    found = Counter[str]()
    for family in text_string_to_metric_families(collector.get("/metrics").data.decode()):
        for sample in family.samples:
            fate = sample.name.removeprefix("celeryscope_collector_records_").removesuffix("_total")
            if sample.name.endswith(f"collector_records_{fate}_total") and sample.labels["signal"] == signal:
                why = sample.labels.get("processor") or sample.labels.get("reason") or ""
                found[f"{fate} {why}".strip()] += int(sample.value)
    return found


def attributes_of(record: dict[str, Any]) -> dict[str, Any]:
    return {attribute["key"]: next(iter(attribute["value"].values())) for attribute in record["attributes"]}


def bodies(kafka: str, tenant: str) -> list[str]:
    return [record["body"]["stringValue"] for record in log_records(kafka, tenant)]


def unique() -> str:
    return uuid.uuid4().hex
