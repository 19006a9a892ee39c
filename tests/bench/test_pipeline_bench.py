"""The benchmark of collector and indexer measures what it says, and notices when it would not."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeryscope_pipelines.indexer.batch import Batch
from celeryscope_pipelines.indexer.batch import Message as ReadMessage
from celeryscope_pipelines.indexer.transform import transform
from collector_process import Collector, create_topics
from figures import Figure
from measuring import MeasurementFailed
from pipeline import __main__ as command_line
from pipeline import collector as collector_part
from pipeline.bench import Bench
from pipeline.indexer import distinct
from pipeline.mix import mix
from servers import Kafka


class BenchOnTheSuitesServers(Bench):
    """Measures on servers that run already."""

    def __init__(self, folder: Path, kafka: Kafka) -> None:
        super().__init__(folder, argparse.Namespace(runs=1, quick=True, go_collector="", soak_minutes=0))
        self._kafka = kafka

    @property
    def kafka(self) -> Kafka:  # type: ignore[override]
        return self._kafka


@pytest.mark.kafka
def test_a_short_run_gives_the_collectors_rate_for_each_encoding(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_part, "_REQUESTS", {500: 4})
    with BenchOnTheSuitesServers(tmp_path, kafka) as bench:
        *measured, beside = collector_part.figures(bench)
    assert beside.goal is None
    assert [figure.name for figure in measured] == [
        f"collector: OTLP/{encoding}, 500 items a request" for encoding in ("JSON", "JSON, gzip", "protobuf")
    ]
    assert all(100 < figure.value < 1_000_000 for figure in measured)
    assert {(figure.unit, figure.goal, figure.at_least) for figure in measured} == {("items/CPU-s", 50_000, True)}


@pytest.mark.kafka
def test_a_collector_that_refuses_records_is_not_measured(kafka: Kafka, tmp_path: Path) -> None:
    create_topics(kafka)
    refused = collector_part.Shape("none", lambda _kind, _body: b'{"resourceLogs": 5}', {}, 1)
    refused.headers["Content-Type"] = "application/json"
    with BenchOnTheSuitesServers(tmp_path, kafka) as bench, Collector(kafka.bootstrap_servers, tmp_path) as collector:
        with pytest.raises(MeasurementFailed, match="answered 400"):
            collector_part._run(bench, collector, refused)


def test_a_failed_part_ends_with_1_and_keeps_the_figures_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_bench: Bench) -> Iterator[Figure]:
        yield Figure("so far", 1.0, "items/CPU-s", goal=2, at_least=True)
        raise MeasurementFailed("nothing was stored")

    monkeypatch.setattr(command_line, "PARTS", {"fails": fails})
    output = tmp_path / "pipeline.json"
    assert command_line.main(["--only", "fails", "--output", str(output)]) == 1
    assert json.loads(output.read_text()) == [
        {"name": "so far", "value": 1.0, "unit": "items/CPU-s", "goal": 2, "holds": False}
    ]


def test_the_mix_of_the_indexers_benchmark_is_seven_records_a_task_none_of_which_is_a_dead_letter() -> None:
    messages = list(mix("bench", 700))
    read = [ReadMessage(message.topic, message.partition, at, message.value, "") for at, message in enumerate(messages)]
    transformed = transform(Batch(read))
    assert (transformed.records, transformed.letters) == (700, [])
    assert len(transformed.items) == 700 + 2  # a failure is a document of its own besides the attempt's
    assert distinct(transformed.items) == 600 + 2
    assert len(transformed.failures) == 2
