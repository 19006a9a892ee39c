"""The corpus of failures is sound, the score counts what it says, and our clusters are better than the baselines'."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from clusters import __main__ as command_line
from clusters import baselines
from clusters.corpus import DIFFERENCES, FOLDER, CorpusError, Failure, Group, load, scored
from clusters.recording.versions import as_python
from clusters.score import halves, score

FAILURE = Failure("refused", ("baseline",), "docker", "raised", "exception", "shop.pay", "OSError", "refused", "")


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    return load()


def test_the_corpus_has_at_least_300_failures_in_60_groups_that_count(groups: list[Group]) -> None:
    counted = list(scored(groups))
    assert len(counted) >= 300
    assert len({failure.group for failure in counted}) >= 60


def test_no_failure_is_in_the_corpus_twice(groups: list[Group]) -> None:
    texts = Counter(failure.text for group in groups for failure in group.failures)
    assert [text[1:4] for text, times in texts.items() if times > 1] == []


def test_every_group_says_why_and_has_failures_that_differ(groups: list[Group]) -> None:
    assert [group.name for group in groups if len(group.why.split()) < 5] == []
    assert [group.name for group in groups if len(group.failures) < 2] == []
    assert [group.name for group in groups if group.failures[0].differs != ("baseline",)] == []


def test_few_groups_are_left_out_of_the_score_and_each_says_why(groups: list[Group]) -> None:
    excluded = [group for group in groups if group.excluded]
    assert len(excluded) <= 0.05 * len(groups)
    assert all(len(group.excluded.split()) > 5 for group in excluded)


def test_failures_differ_in_all_ways_that_are_named_and_none_rules(groups: list[Group]) -> None:
    seen = Counter(way for failure in scored(groups) for way in failure.differs)
    assert set(seen) == set(DIFFERENCES)
    others = sum(times for way, times in seen.items() if way != "baseline")
    assert {way: times for way, times in seen.items() if way != "baseline" and times > 0.4 * others} == {}


def test_most_failures_were_raised_for_real(groups: list[Group]) -> None:
    made = [failure.made for failure in scored(groups)]
    assert sum(text.startswith("raised") for text in made) > 0.9 * len(made)


def test_every_group_has_neighbours_that_are_easily_mistaken_for_it(groups: list[Group]) -> None:
    """More than half of the failures share their exception's type with another group's."""
    types: dict[str, set[str]] = {}
    for failure in scored(groups):
        types.setdefault(failure.type, set()).add(failure.group)
    counted = list(scored(groups))
    assert sum(len(types[failure.type]) > 1 for failure in counted) > len(counted) / 2


def test_a_member_with_a_misspelt_field_is_named(tmp_path: Path) -> None:
    text = (FOLDER / "card-declined.yaml").read_text()
    (tmp_path / "card-declined.yaml").write_text(text.replace("  task:", "  tusk:", 1))
    with pytest.raises(CorpusError, match=r"card-declined.yaml, member 1: has .*tusk"):
        load(tmp_path)


def test_an_unknown_difference_is_named(tmp_path: Path) -> None:
    text = (FOLDER / "card-declined.yaml").read_text()
    (tmp_path / "card-declined.yaml").write_text(text.replace("- baseline", "- basline", 1))
    with pytest.raises(CorpusError, match="basline"):
        load(tmp_path)


def test_the_score_counts_pairs_and_names_what_was_split_and_merged() -> None:
    # Two groups of two and of three: 1 + 3 pairs belong together. One of the three goes to the two.
    failures = [replace(FAILURE, group=group, message=key) for group, key in zip("aabbb", "11122", strict=True)]
    found = score(failures, lambda failure: failure.message)
    assert found.precision == pytest.approx(2 / 4)
    assert found.recall == pytest.approx(2 / 4)
    assert found.f1 == pytest.approx(0.5)
    assert [(split.group, split.missing, [len(part) for part in split.parts]) for split in found.splits] == [
        ("b", 2, [2, 1])
    ]
    assert [(merge.groups, merge.wrong) for merge in found.merges] == [((("a", 2), ("b", 1)), 2)]


def test_the_halves_share_no_group_and_leave_none_out(groups: list[Group]) -> None:
    failures = list(scored(groups))
    first, second = ({failure.group for failure in half} for half in halves(failures))
    assert not first & second
    assert first | second == {failure.group for failure in failures}
    assert 0.35 < len(first) / len(first | second) < 0.65


def test_the_frames_of_the_second_baseline_are_those_of_everybody() -> None:
    stacktrace = (
        "Traceback (most recent call last):\n"
        '  File "/usr/lib/python3/dist-packages/celery/app/trace.py", line 4, in trace_task\n    fun()\n'
        '  File "/app/shop/tasks.py", line 5, in pay\n    charge()\nOSError: refused\n'
    )
    elsewhere = stacktrace.replace("/usr/lib/python3/dist-packages", "/venv/lib/python3.11/site-packages")
    frames = ("OSError", "celery/app/trace.py:trace_task", "shop/tasks.py:pay")
    assert baselines.type_and_frames(replace(FAILURE, stacktrace=stacktrace)) == frames
    assert baselines.type_and_frames(replace(FAILURE, stacktrace=elsewhere)) == frames


def test_other_versions_of_python_are_shown_as_they_show_it() -> None:
    text = (
        '  File "/app/shop.py", line 3, in pay\n    return [charge(one) for one in many]\n'
        "           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        '  File "/app/shop.py", line 3, in <listcomp>\n    return [charge(one) for one in many]\n'
        "            ^^^^^^^^^^^\n"
    )
    assert "^" not in as_python(text, 9)
    assert "<listcomp>" in as_python(text, 9)
    assert as_python(text, 13) == (
        '  File "/app/shop.py", line 3, in pay\n    return [charge(one) for one in many]\n            ~~~~~~^^^^^\n'
    )


def test_our_clusters_are_better_than_both_baselines_and_the_figures_are_written(tmp_path: Path) -> None:
    output = tmp_path / "clusters.json"
    assert command_line.main(["--output", str(output)]) == 0
    figures = {figure["name"]: figure for figure in json.loads(output.read_text())}
    assert set(figures["corpus: groups"]) == {"name", "value", "unit", "goal", "holds"}
    ours = figures[f"{command_line.OURS}: F1"]
    assert ours["goal"] == 0.97
    assert ours["value"] > figures["baseline: exception type only: F1"]["value"]
    assert ours["value"] > figures["baseline: type and all frames: F1"]["value"]


def test_our_clusters_reach_the_goal(groups: list[Group]) -> None:
    assert score(list(scored(groups)), command_line.GROUPINGS[command_line.OURS]).f1 >= 0.97


def test_a_missed_goal_is_explained_by_the_names_of_the_groups(
    groups: list[Group], capsys: pytest.CaptureFixture[str]
) -> None:
    found = score(list(scored(groups)), baselines.type_only)
    command_line.explain("by type", found, 3)
    told = capsys.readouterr().out
    assert "by type: " in told
    assert told.count("  merge: ") == 3
