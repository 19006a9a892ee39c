"""The whole of ``make chaos`` at a small scale: one broker, three faults."""

import json
from pathlib import Path

import pytest

from chaos.__main__ import main

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
FAULTS = "indexer 1 killed,collector killed,indexer - Kafka cut"


def test_killed_processes_and_a_wire_that_is_cut_lose_and_double_nothing(tmp_path: Path) -> None:
    written = tmp_path / "chaos.json"
    options = ["--quick", "--records", "400", "--seed", "1", "--brokers", "1", "--output", str(written)]
    assert main([*options, "--faults", FAULTS]) == 0
    rows = {row["name"]: row for row in json.loads(written.read_text())}
    assert rows["lost"] | {"value": 0, "holds": True} == rows["lost"]
    assert rows["records planned"]["value"] >= 400
    assert all(rows[f"fault: {name}"]["holds"] and rows[f"fault: {name}"]["seed"] == 1 for name in FAULTS.split(","))
