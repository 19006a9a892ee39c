from datetime import UTC
from typing import Any

from celeryscope_pipelines.views.failures import Cluster, Clusters, cluster_from
from celeryscope_pipelines.views.failures import render as render_failures
from celeryscope_pipelines.views.status import Status, as_dict, size, worker_from
from celeryscope_pipelines.views.status import render as render_status
from celeryscope_pipelines.views.wording import Clock
from pipelines.views.building import at, attempt, printed

CLOCK = Clock(at(100), UTC)
DECLINED = Cluster(
    fingerprint="0123456789abcdef",
    title="shop.PaymentDeclined: card <expired> [red]",
    culprit="shop.gateway in charge",
    count=1_200,
    first=at(0),
    last=at(90),
    first_seen=at(-3600),
    tasks=(("shop.pay", 1_199), ("shop.refund", 1)),
    workers=("celery@a",),
)


def test_clusters_are_listed_with_their_counts_times_tasks_and_workers() -> None:
    screen = printed(*render_failures(Clusters(1_201, 2, (DECLINED,)), CLOCK), width=110)
    assert (
        screen
        == """\
1,201 failures in 2 clusters. Times are UTC.

id        count  last seen            first seen           failure
01234567  1,200  2026-11-21 14:01:30  2026-11-21 13:00:00  shop.PaymentDeclined: card <expired> [red]
                                                           shop.gateway in charge
                                                           shop.pay (1,199), shop.refund (1)
                                                           on celery@a

1 more cluster; --limit shows more.
Next: celeryscope failures show 01234567
"""
    )


def bucket(**more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"buckets": []}
    times = {"first": {"value_as_string": "2026-11-21T14:00:00Z"}, "last": {"value_as_string": "2026-11-21T14:01:00Z"}}
    return {"key": "f" * 16, "doc_count": 3, "tasks": empty, "workers": empty, **times, **more}


def test_a_cluster_that_is_new_is_titled_by_its_failures_until_its_entity_is_there() -> None:
    sampled = {"celery.failure_title": {"buckets": [{"key": "ValueError: boom", "doc_count": 3}]}}
    assert cluster_from(bucket(**sampled), {}).title == "ValueError: boom"
    assert cluster_from(bucket(), {}).title == "(no title yet)"
    described = {"celery.failure_title": "ValueError: all", "celery.first_seen": "2026-11-20T14:00:00Z"}
    found = cluster_from(bucket(**sampled), described)
    assert (found.title, found.first_seen) == ("ValueError: all", at(-86_400))


def status(**more: Any) -> Status:
    spool = {"pending_bytes": 12_300, "dropped": {"quota": 3, "oversize": 0}}
    workers = [
        {"celery": {"worker": "celery@a", "state": "ONLINE", "active": 1, "concurrency": 4, "spool": spool}},
        {"celery": {"worker": "celery@b", "state": "ONLINE", "processed": 1_200}},
        {"celery": {"worker": "celery@c", "state": "OFFLINE"}},
    ]
    ages = (95, -500, 10)
    given: dict[str, Any] = {
        "since": at(-86_300),
        "states": {"SUCCESS": 1_500, "FAILURE": 2, "MINE": 1},
        "unfinished": (attempt("stuck", state="STARTED", sent=-50),),
        "unfinished_total": 7,
        "workers": tuple(
            worker_from({"@timestamp": at(age).isoformat(), **worker})
            for worker, age in zip(workers, ages, strict=True)
        ),
        "recent": Clusters(0, 0, ()),
        "health": {"status": "green", "number_of_nodes": 1},
        "newest": {"attempts": at(99), "logs": at(0), "spans": None},
    }
    return Status(**given | more)


def test_the_status_is_one_screen() -> None:
    assert (
        printed(*render_status(status(), CLOCK, ascii_only=False))
        == """\
1,503 attempts sent since 2026-11-20 14:01:40 UTC
1,500  ✔ success
    2  ✘ failed
    1  ? MINE

7 attempts not final, the oldest:
▶ running   2 min 30 s ago   shop.stuck stuck

worker    state    last heartbeat  active  processed  not shipped
celery@a  online   5.0 s ago          1/4          0      12.3 KB
celery@b  silent   10 min ago           0      1,200          0 B
celery@c  offline  1 min 30 s ago       0          0          0 B

No failures in the last hour.

Elasticsearch: green, 1 node
Newest data: attempts 1.0 s ago, logs 1 min 40 s ago, spans none
Dropped by spools: quota 3
"""
    )


def test_recent_failures_are_named() -> None:
    screen = printed(*render_status(status(recent=Clusters(1_201, 2, (DECLINED,))), CLOCK, ascii_only=True))
    assert "1,201 failures in 2 clusters in the last hour\n01234567  1,200  shop.PaymentDeclined" in screen


def test_without_any_document_there_is_no_status() -> None:
    assert status(newest={"logs": None}).empty
    assert not status().empty


def test_json_has_the_same_numbers() -> None:
    data = as_dict(status(), CLOCK.now)
    assert (data["attempts"], data["states"]["FAILURE"], data["dropped"]) == (1_503, 2, {"quota": 3})
    assert [worker["state"] for worker in data["workers"]] == ["online", "silent", "offline"]
    assert data["newest"] == {
        "attempts": "2026-11-21T14:01:39.000000Z",
        "logs": "2026-11-21T14:00:00.000000Z",
        "spans": None,
    }


def test_sizes_are_written_as_people_say_them() -> None:
    assert [size(count) for count in (0, 999, 12_300, 5_000_000, 7_000_000_000_000)] == [
        "0 B",
        "999 B",
        "12.3 KB",
        "5.0 MB",
        "7000.0 GB",
    ]
