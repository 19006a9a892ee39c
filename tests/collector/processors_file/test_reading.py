"""The processors file: all that is wrong is told with line and column; what is right becomes steps in their order."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope.errors import ConfigError
from celeryscope_collector.processors_file.models import Limits, Redaction, Sampling
from celeryscope_collector.processors_file.reading import checked, read_processors


def told(text: str) -> list[str]:
    """The problems of a text as ``line:column what``."""
    steps, problems = checked(text)
    assert not (steps and problems)
    return [f"{place.line}:{place.column} {what}" for place, what in problems]


def step(text: str) -> str:
    """A file with one more processor than it needs, which begins in line 3."""
    return f"processors:\n- identity\n- {text}\n"


def rule(processor: str, text: str) -> str:
    """A file with one rule, which begins in line 5, column 7."""
    return step(f"{processor}:\n    rules:\n    - {text}")


def test_the_steps_come_in_the_order_of_the_file_with_their_parameters() -> None:
    steps, problems = checked(
        "processors:\n- limits: {value_bytes: 1000}\n- identity\n- sampling:\n    ratio: 0.5\n    slow_seconds: 3\n"
    )
    assert not problems
    assert list(steps) == ["limits", "identity", "sampling"]
    assert steps["limits"] == Limits(value_bytes=1000)
    assert steps["sampling"] == Sampling(ratio=0.5, slow_seconds=3)


@pytest.mark.parametrize("text", ["limits", "limits:", "limits: {}"])
def test_a_processor_without_parameters_has_its_defaults(text: str) -> None:
    steps, _ = checked(step(text))
    assert steps["limits"] == Limits()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(step("ownreship: {}"), "3:3 unknown key `ownreship`: did you mean `ownership`?", id="processor"),
        pytest.param(step("ownreship"), "3:3 unknown key `ownreship`: did you mean `ownership`?", id="bare"),
        pytest.param(
            step("limits:\n    vaule_bytes: 1000"), "4:5 unknown key `vaule_bytes`: did you mean `value_bytes`?"
        ),
        pytest.param(
            rule("ownership", "tasks: [a]\n      taem: x\n      tier: '1'"),
            "6:7 unknown key `taem`: did you mean `team`?",
            id="in a rule",
        ),
        pytest.param(
            step("redaction:\n    tenants:\n      acme: {trems: [iban]}"),
            "5:14 unknown key `trems`: did you mean `terms`?",
            id="below a name of the user's",
        ),
        pytest.param(
            "processors: [identity]\nversion: 2\n", "2:1 unknown key `version`: use `processors`", id="at the top"
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(text: str, problem: str) -> None:
    assert told(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (rule("ownership", "tasks: shop.*\n      team: x"), "5:14 a list is needed: [shop.*]"),
        (rule("ownership", "tasks: []\n      team: x"), "5:14 at least one is needed"),
        (rule("ownership", "team: x"), "5:7 `tasks` is missing here"),
        (rule("ownership", "tasks: [a]\n      team: no"), '6:13 a text is needed: put it in quotes, "no"'),
        (rule("ownership", "tasks: [a]\n      team:\n      tier: a"), "6:12 a value is missing here"),
        (rule("ownership", "tasks: [a]\n      team: ''"), "6:13 a text is missing here"),
        (rule("ownership", "tasks: [a, 7]\n      team: a"), '5:18 a text is needed: put it in quotes, "7"'),
        (rule("ownership", "tasks: [a]"), "5:7 a rule needs at least one of `team`, `severity`, `runbook` and `tier`"),
        (
            rule("ownership", "tasks: [a]\n      severity: hihg"),
            "6:17 `hihg` is not known here: did you mean `high`?",
        ),
        (
            rule("ownership", "tasks: [a]\n      runbook: https://wiki/pay now"),
            "6:16 a web address is needed, e.g. https://wiki.example.com/runbooks/payments, without password",
        ),
        (
            rule("ownership", "tasks: [a]\n      runbook: https://bob:secret@wiki/pay"),
            "6:16 a web address is needed, e.g. https://wiki.example.com/runbooks/payments, without password",
        ),
        (
            rule("deployment", "attributes: {service.version: 2.10}"),
            '5:37 a text is needed: put it in quotes, "2.10"',
        ),
        (
            rule("deployment", "attributes:\n        celery.tenant: acme"),
            "6:9 `celery.tenant` comes from the token and can't be set",
        ),
        (step("limits: {value_bytes: 10k}"), "3:25 `10k`: it should be a valid integer"),
        (step("limits: {value_bytes: 10}"), "3:25 `10`: it should be greater than or equal to 256"),
        (step("limits: 10"), "3:11 a mapping is needed, `key: value`, a line each"),
        (step("sampling: {ratio: 10}"), "3:21 `10`: it should be less than or equal to 1"),
        (
            step("sampling: {ratio: 0.1, rules: [{ratio: 1}]}"),
            "3:34 a rule needs `tenants` or `services`; for all others stands the `ratio` above",
        ),
        (
            step("sampling: {ratio: 0.1, keep_severity: WARNING}"),
            "3:41 `WARNING` is not known here: did you mean `WARN`?",
        ),
        (rule("drop", "name: a"), "5:7 a rule needs at least one of `tasks`, `events`, `loggers` and `below`"),
        (
            rule("drop", "{name: A b, tasks: [a]}"),
            "5:14 a name is needed: lower-case letters, digits, `_` and `-`, a letter or digit first",
        ),
        (
            rule("drop", "{name: a, events: [celery.worker.hartbeat]}"),
            "5:26 `celery.worker.hartbeat` is no event: did you mean `celery.worker.heartbeat`?",
        ),
        (
            rule("drop", "{name: a, events: ['celery.*'], below: WARN}"),
            "5:7 `events` and `loggers` or `below` exclude each other: these are about log lines",
        ),
        (
            rule("drop", "{name: a, tasks: [a]}\n    - {name: a, tasks: [b]}"),
            "4:5 two rules are named `a`: what they drop could not be told apart",
        ),
    ],
)
def test_a_wrong_value_is_told_where_it_stands_with_what_would_be_right(text: str, problem: str) -> None:
    assert told(text) == [problem]


@pytest.mark.parametrize("events", ["celery.task.succeeded", "celery.task.[fs]*", "celery.task.lost"])
def test_the_end_of_attempts_can_not_be_dropped_alone(events: str) -> None:
    (problem,) = told(rule("drop", f"{{name: a, events: ['{events}'], tasks: ['shop.*']}}"))
    assert problem.startswith("5:7 without `celery.task.")


@pytest.mark.parametrize("events", ["celery.task.*", "celery.task.received", "celery.task.stack", "shop.paid", "*"])
def test_events_that_leave_no_attempt_without_its_end_can_be_dropped(events: str) -> None:
    assert told(rule("drop", f"{{name: a, events: ['{events}']}}")) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1 a value is missing here"),
        ("processors:\n", "1:12 a value is missing here"),
        ("processors: [limits]\n", "1:13 `identity` is missing: without it a sender could claim any tenant"),
        (
            "processors: [identity, limits, limits]\n",
            "1:32 `limits` stands here a second time: put its parameters together",
        ),
        (
            "processors: [identity, limits, redaction]\n",
            "1:32 `redaction` must stand before `limits`: half a secret is not recognised any more",
        ),
        (
            "processors:\n- identity:\n  limits:\n",
            "2:3 one processor is needed here; begin each with a `- ` of its own",
        ),
    ],
)
def test_the_list_as_a_whole_is_checked(text: str, problem: str) -> None:
    assert told(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("processors:\n\t- identity\n", "2:1 no YAML: "),
        ("processors: [identity\n", "2:1 no YAML: "),
        ("processors: [identity]\n---\na: 1\n", "2:1 no YAML: "),
        ("a\n\x00", "2:1 no YAML: special characters are not allowed"),
        ("processors: [&a identity, *a]\n", "1:27 `*a`: aliases are not read; write the value out"),
        ("processors: &a [identity, *a]\n", "1:27 `*a`: aliases are not read; write the value out"),
        ("processors: [identity]\nprocessors: []\n", "2:1 `processors` stands here a second time, first in line 1"),
        ("processors: [identity]\n? [a]\n: 1\n", "2:3 a key must be a text"),
        ("processors: [identity, {limits: {attributes: !x 40}}]\n", "1:46 `!x`: tags are not read; put "),
        (step("limits: {attributes: !!bool 40}"), "3:24 `!!bool`: tags are not read; put "),
        (step("limits: {attributes: !!int ''}"), "3:24 `!!int`: tags are not read; put "),
        (step("limits: !!set {attributes: 40}"), "3:11 `!!set`: tags are not read; put "),
        (step("limits: {attributes: =}"), "3:24 no YAML: could not determine a constructor"),
        (step("limits: {attributes: 2001-99-99}"), "3:24 `2001-99-99` can't be read: "),
        ("processors: " + "[" * 500 + "]" * 500, "1:1 no YAML that can be read: it is nested too deeply"),
    ],
)
def test_what_yaml_or_we_do_not_read_has_its_place_too(text: str, problem: str) -> None:
    assert any(line.startswith(problem) for line in told(text))


def test_all_problems_of_a_file_are_told_at_once_as_a_compiler_does(tmp_path: Path) -> None:
    file = tmp_path / "processors.yaml"
    file.write_text("processors:\n- limits: {attributes: x}\n- drop: {rules: [{name: a}]}\n- redaction: {keep: a}\n")

    with pytest.raises(ConfigError) as caught:
        read_processors(file)

    assert str(caught.value).splitlines() == [
        f"the processors file {file} can't be used, 5 problems:",
        f"{file}:2:1: `identity` is missing: without it a sender could claim any tenant",
        f"{file}:2:24: `x`: it should be a valid integer",
        f"{file}:3:18: a rule needs at least one of `tasks`, `events`, `loggers` and `below`",
        f"{file}:4:3: `redaction` must stand before `limits`: half a secret is not recognised any more",
        f"{file}:4:21: a list is needed: [a]",
    ]


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    for name in ("nowhere", "bytes"):
        with pytest.raises(ConfigError, match=f"{name} can't be read"):
            read_processors(tmp_path / name)


def test_names_of_tenants_are_read_as_they_are_written() -> None:
    steps, problems = checked(step("redaction:\n    tenants:\n      007: {terms: [iban]}\n      no: {keep: [x]}"))
    assert not problems
    assert isinstance(redaction := steps["redaction"], Redaction)
    assert list(redaction.tenants) == ["007", "no"]


_PIECES = st.one_of(
    st.sampled_from(["processors", "identity", "ownership", "rules", "tasks", "limits", "null", "- ", "  ", "---"]),
    st.sampled_from(list(":[]{},'\"&*!?|>#~<\n\t\x00é7a.=")),
    st.sampled_from(["!!bool ", "!!int ", "!!float ", "!!timestamp ", "!!omap ", "!!binary "]),
)


@given(st.lists(_PIECES, max_size=40).map("".join))
def test_no_text_is_answered_with_anything_but_steps_or_problems(text: str) -> None:
    steps, problems = checked(text)
    assert bool(steps) != bool(problems)
    assert all(place.line >= 1 and place.column >= 1 and what for place, what in problems)
