"""The table of failure clusters: counts, trends, decisions, and clusters that were merged."""

from typing import Any

import pytest

from celeryscope import semconv
from celeryscope_kibana.vega.clusters import cluster_table
from support.kibana import Canvas, Drawn, answered_with

HOUR = 3_600_000
START = 1_795_219_200_000


def bucket(key: str, title: str, counts: list[int], **more: Any) -> dict[str, Any]:
    """What Elasticsearch says of a fingerprint, with failures in each of the hours."""

    def top(value: str) -> dict[str, Any]:
        return {"buckets": [{"key": value, "doc_count": 1}] if value else []}

    steps = [{"key": START + hour * HOUR, "doc_count": count} for hour, count in enumerate(counts)]
    seen = [step["key"] for step in steps if step["doc_count"]]
    return {
        "key": key,
        "doc_count": sum(counts),
        "trend": {"buckets": steps},
        "first": {"value": seen[0]},
        "last": {"value": seen[-1]},
        "title": top(title),
        "culprit": top("shop.gateway in charge"),
        "task": top("shop.pay"),
        "tasks": {"value": 2},
        "owner": top(more.get("owner", "")),
        "release": top(more.get("release", "")),
    }


def decision(fingerprint: str, **more: Any) -> dict[str, Any]:
    """A document of celery-failures."""
    known = {getattr(semconv, name.upper()): value for name, value in more.items()}
    return {semconv.FINGERPRINT: fingerprint, semconv.FIRST_SEEN: "2026-01-01T00:00:00Z", **known}


@pytest.fixture(scope="module")
def view(drawing: Canvas) -> Drawn:
    buckets = [
        bucket("aa", "KeyError in pay", [0, 4, 5, 1], owner="billing", release="1.4"),
        bucket("bb", "OSError in ship", [1, 0, 0, 3]),
        bucket("cc", "OSError in pack", [0, 5, 0, 0]),
    ]
    decisions = [
        decision("aa", failure_state=semconv.CLUSTER_REGRESSED, failure_first_release="1.2"),
        decision("cc", failure_merged_into="bb"),
    ]
    answers = {
        "buckets": {"aggregations": {"clusters": {"buckets": buckets}}},
        "decisions": {"hits": {"hits": [{"_source": found} for found in decisions]}},
    }
    drawn = drawing.draw(answered_with(cluster_table(), [], **answers), sets=("clusters", "trends"))
    assert drawn.problems == []
    return drawn


def test_clusters_stand_in_the_order_of_their_counts_with_merged_ones_as_one(view: Drawn) -> None:
    assert [(line["cluster"], line["count"], line["parts"]) for line in view.data["clusters"]] == [
        ("aa", 10, 1),
        ("bb", 9, 2),
    ]
    assert [mark["text"] for mark in view.marks["titles"]] == ["KeyError in pay", "OSError in ship"]


def test_a_click_on_a_merged_cluster_means_all_its_members(view: Drawn) -> None:
    assert {line["cluster"]: sorted(line["members"]) for line in view.data["clusters"]} == {
        "aa": ["aa"],
        "bb": ["bb", "cc"],
    }


def test_a_trend_has_a_bar_for_each_step_as_high_as_its_failures(view: Drawn) -> None:
    heights = [mark["bottom"] - mark["top"] for mark in view.marks["trend_bars"] if mark["cluster"] == "aa"]
    assert heights == pytest.approx([0, 26 * 4 / 5, 26, 26 / 5], abs=0.01)
    merged = {step["at"]: step["failures"] for step in view.data["trends"] if step["cluster"] == "bb"}
    assert list(merged.values()) == [1, 5, 0, 3]


def test_a_line_says_state_owner_release_and_what_is_new(view: Drawn) -> None:
    by = {name: [mark["text"] for mark in view.marks[name]] for name in ("states", "owners", "releases", "news")}
    assert by == {
        "states": [semconv.CLUSTER_REGRESSED, semconv.CLUSTER_OPEN],
        "owners": ["billing", "-"],
        "releases": ["1.4", "-"],
        # The second has no document with an earlier time.
        "news": ["", "new"],
    }


def test_lines_do_not_overlap(view: Drawn) -> None:
    first, second = view.marks["places"][0], view.marks["titles"][1]
    assert first["bottom"] <= second["top"]
    for name in ("counts", "first_seen", "last_seen", "releases", "owners"):
        assert all(mark["right"] <= 1180 for mark in view.marks[name])
