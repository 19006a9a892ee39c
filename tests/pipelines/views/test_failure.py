from datetime import UTC

from celeryscope_pipelines.views.failure import FailureView, as_dict, render
from celeryscope_pipelines.views.failures import Cluster
from celeryscope_pipelines.views.sparkline import sparkline
from celeryscope_pipelines.views.tracebacks import with_places
from celeryscope_pipelines.views.wording import Clock
from pipelines.views.building import at, printed

TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/.venv/lib/python3.12/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/shop/gateway.py", line 12, in charge
    raise TimeoutError("no answer")
TimeoutError: no answer
"""
NEW = Cluster("f" * 32, "TimeoutError in charge", None, 2, at(0), at(9), at(0), (("shop.pay", 2),), ("celery@a",))


def test_every_failure_is_seen_in_a_sparkline_and_only_nothing_is_empty() -> None:
    assert sparkline([0, 1, 500, 1000], ascii_only=False) == " ▁▄█"
    assert sparkline([0, 1, 500, 1000], ascii_only=True) == " .=@"
    assert sparkline([0, 0], ascii_only=True) == "  "


def test_frames_of_libraries_are_dimmed_and_not_a_character_is_lost() -> None:
    shown = with_places(TRACEBACK)
    assert shown.plain == TRACEBACK.rstrip("\n")
    dimmed = [shown.plain[span.start : span.end] for span in shown.spans if span.style == "dim"]
    assert len(dimmed) == 1
    assert "trace.py" in dimmed[0]
    assert "retval" in dimmed[0]
    assert "gateway" not in dimmed[0]


def test_a_cluster_whose_entity_is_not_there_yet_is_shown_by_its_failures() -> None:
    view = FailureView(NEW, {}, (), [0] * 48)
    screen = printed(*render(view, Clock(at(10), UTC), ascii_only=True))
    assert "TimeoutError in charge" in screen
    assert "state       open" in screen
    assert "shop.pay (2)" in screen
    assert "celery@a" in screen
    assert "celeryscope failures resolve ffffffff" in screen
    assert as_dict(view)["history"] == []


def test_a_full_set_says_about_how_many_more_there_are() -> None:
    workers = [f"celery@{number}" for number in range(50)]
    entity = {"celery.failure.workers": workers, "celery.failure.workers_left_out": 260}
    screen = printed(*render(FailureView(NEW, entity, (), []), Clock(at(10), UTC), ascii_only=True), width=200)
    assert "celery@9 and about 300 more" in screen
