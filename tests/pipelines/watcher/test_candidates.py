"""Rules that are asked in two steps: the query goes only through what there may be a row about.

That candidates of the shipped rules leave out no finding is asserted in each test of a rule (``World.findings``).
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeryscope import semconv
from celeryscope_pipelines.watcher import evaluate, evaluation
from pipelines.watcher.world import RULES, World

pytestmark = pytest.mark.elasticsearch

FAILED = '| WHERE celery.state == "FAILURE"'
BY_TASK = "STATS n = COUNT(*) BY celery.tenant, celery.task_name"


@pytest.fixture
def busy(world: World) -> World:
    """Two tasks, of which one fails, and a worker."""
    world.tasks(semconv.EVENT_TASK_SUCCEEDED, (10, 20, 30), "shop.well")
    world.tasks(semconv.EVENT_TASK_SUCCEEDED, (10, 20), "shop.pay")
    world.task(semconv.EVENT_TASK_FAILED, 5, "shop.pay")
    world.worker("celery@a", 5)
    world.flush()
    return world


def found(world: World, query: str, candidates: str) -> dict[str, int]:
    """What a rule of these finds: its ``n`` by task."""
    rule = replace(
        RULES["failure-rate"],
        query=f'{query} | WHERE celery.tenant == "{world.tenant}"',
        candidates=f'FROM celery-tasks-* | WHERE celery.tenant == "{world.tenant}" {candidates}',
    )
    findings = evaluate(world.client, rule, world.now + timedelta(seconds=1))
    return {finding.row.get(semconv.TASK_NAME, "-"): finding.row["n"] for finding in findings}


def test_the_query_goes_through_all_attempts_of_candidates_and_of_nothing_else(busy: World) -> None:
    query = f"FROM celery-tasks-* | {BY_TASK}"
    assert found(busy, query, f"{FAILED} | STATS f = COUNT(*) BY celery.task_name") == {"shop.pay": 3}
    assert found(busy, query, "| STATS f = COUNT(*) BY celery.task_name") == {"shop.pay": 3, "shop.well": 3}


def test_documents_that_are_no_attempts_all_count(busy: World) -> None:
    query = f"FROM celery-tasks-*, celery-workers | {BY_TASK}"
    failing = f"{FAILED} | STATS f = COUNT(*) BY celery.task_name"
    assert found(busy, query, failing) == {"shop.pay": 3, "-": 1}


def test_without_a_candidate_the_query_is_not_asked(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    known = evaluation._rows

    def rows(client: Any, request: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(request["query"])
        return known(client, request)

    monkeypatch.setattr(evaluation, "_rows", rows)
    lost = '| WHERE celery.state == "LOST" | STATS f = COUNT(*) BY celery.task_name'
    assert found(busy, f"FROM celery-tasks-* | {BY_TASK}", lost) == {}
    (query,) = asked
    assert '"LOST"' in query


def test_candidates_by_no_column_only_say_whether_to_ask(busy: World) -> None:
    query = f"FROM celery-tasks-* | {BY_TASK}"
    assert found(busy, query, f"{FAILED} | STATS f = COUNT(*) | WHERE f > 0") == {"shop.pay": 3, "shop.well": 3}
    assert found(busy, query, f"{FAILED} | STATS f = COUNT(*) | WHERE f > 1") == {}


def test_a_candidate_without_the_column_s_value_is_asked_about_with_all(busy: World) -> None:
    busy.task(semconv.EVENT_TASK_FAILED, 5, TASK_NAME=None)
    busy.flush()
    failing = f"{FAILED} | STATS f = COUNT(*) BY celery.task_name"
    assert found(busy, f"FROM celery-tasks-* | {BY_TASK}", failing) == {"shop.pay": 3, "shop.well": 3, "-": 1}


def test_of_more_candidates_than_are_told_all_are_asked_about(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MOST_ROWS", 1)
    failing = f"{FAILED} | STATS f = COUNT(*) BY celery.task_name"
    assert found(busy, f"FROM celery-tasks-* | {BY_TASK}", failing) == {"shop.pay": 3, "shop.well": 3}
