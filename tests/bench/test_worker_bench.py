"""The benchmark of a worker measures what it says, and notices when it would not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from figures import Figure
from measuring import MeasurementFailed
from servers import Redis
from servers.process import free_port
from worker import __main__ as command_line
from worker import peers
from worker.measure import SUCCEED, Bench, Worker
from worker.sink import Sink

pytestmark = pytest.mark.redis


@pytest.fixture
def bench(redis: Redis, tmp_path: Path) -> Iterator[Bench]:
    with Sink() as sink, Bench(redis.url.removesuffix("/0") + "/7", sink, tmp_path) as bench:
        yield bench


def test_a_short_run_gives_the_figures_of_celeryscope_beside_plain_celery(tmp_path: Path) -> None:
    output = tmp_path / "worker.json"
    arguments = [
        "--only",
        "succeed",
        "--pools",
        "solo",
        "--peers",
        "celeryscope",
        "--pairs",
        "1",
        "--tasks",
        "1000",
        "--output",
    ]
    assert command_line.main([*arguments, str(output)]) == 0
    plain, added = json.loads(output.read_text())
    assert [set(figure) for figure in (plain, added)] == [{"name", "value", "unit", "goal", "holds"}] * 2
    assert plain["name"] == "no-op task, solo: CPU, plain Celery"
    assert plain["value"] > 50
    assert added["name"] == "no-op task, solo: CPU added by celeryscope"
    assert added["holds"] is None


def test_a_peer_that_delivers_nothing_is_not_measured(bench: Bench) -> None:
    unheard = {"CELERYSCOPE_ENDPOINT": f"http://127.0.0.1:{free_port()}", "CELERYSCOPE_FLUSH_TIMEOUT": "0.1"}
    with pytest.raises(MeasurementFailed, match=r"celeryscope delivered 0 task spans of 220 tasks"):
        bench.drain(Worker(peers.CELERYSCOPE, "solo", environ=unheard), SUCCEED, 20)


def test_a_failed_measurement_ends_with_1_and_keeps_the_figures_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: Any) -> Iterator[Figure]:
        yield Figure("so far", 1.0, "µs", goal=0.5)
        raise MeasurementFailed("nothing was delivered")

    monkeypatch.setattr(command_line, "_measure", measure)
    output = tmp_path / "worker.json"
    assert command_line.main(["--output", str(output)]) == 1
    assert json.loads(output.read_text()) == [
        {"name": "so far", "value": 1.0, "unit": "µs", "goal": 0.5, "holds": False}
    ]
