"""OpenTelemetry's own exporters for Node and Go; built by `make test-clients`, else skipped here."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector_process import Collector, attributes_of, collecting, log_records, spans, unique
from servers import Kafka

BUILT = Path(__file__).parents[3] / "build" / "clients"
NODE, GO = BUILT / "node" / "client.mjs", BUILT / "go" / "client"
pytestmark = [pytest.mark.clients, pytest.mark.kafka]


@pytest.fixture(scope="module")
def collector(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with collecting(kafka, tmp_path_factory.mktemp("collector")) as running:
        yield running


def said(command: list[str | Path], collector: Collector, text: str) -> dict[str, str]:
    """What the client says of each of its exporters."""
    addresses = [collector.url.removeprefix("http://"), collector.grpc_address]
    ended = subprocess.run(
        [*command, *addresses, collector.token, text], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return dict(line.split(" ", 1) for line in ended.stdout.splitlines())


def check_all_arrived(collector: Collector, text: str, said: dict[str, str]) -> None:
    """Each exporter succeeded, and its record is in Kafka as it was sent."""
    assert set(said.values()) == {"ok"}, said
    found = {span["name"]: span for span in spans(collector.kafka, collector.tenant)}
    found |= {record["body"]["stringValue"]: record for record in log_records(collector.kafka, collector.tenant)}
    for name in said:
        record = found[f"{text} {name}"]
        assert str(attributes_of(record)["number"]) == "17"
        if "trace" in name:
            assert [event["name"] for event in record["events"]] == ["exception"]
            assert (len(record["traceId"]), len(record["spanId"])) == (32, 16)
        else:
            assert record["severityNumber"] == 13


@pytest.mark.skipif(not (NODE.parent / "node_modules").exists(), reason="make test-clients builds it")
def test_all_exporters_of_node(collector: Collector) -> None:
    text = unique()
    results = said(["node", NODE], collector, text)
    assert len(results) == 6
    check_all_arrived(collector, text, results)


@pytest.mark.skipif(not GO.exists(), reason="make test-clients builds it")
def test_all_exporters_of_go(collector: Collector) -> None:
    text = unique()
    results = said([GO], collector, text)
    assert len(results) == 4
    check_all_arrived(collector, text, results)
