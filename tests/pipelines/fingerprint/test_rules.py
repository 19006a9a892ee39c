"""What users say goes before what we think: rules first, then the program's own word."""

import pytest

from celeryscope_pipelines.fingerprint import NO_RULES, FailureRules, Fingerprint, fingerprint_of
from celeryscope_pipelines.fingerprint.places import InApp
from celeryscope_pipelines.fingerprint.rules import Rule

TEXT = """Traceback (most recent call last):
  File "/srv/app/shop/gateway.py", line 9, in connect
    raise OSError(113, "no route")
OSError: [Errno 113] no route

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/app/shop/tasks.py", line 3, in pay
    charge(order)
  File "/opt/acme/shared/retrying.py", line 7, in call
    raise shop.errors.Declined("order 7 declined")
shop.errors.Declined: order 7 declined
"""


def of(rules: FailureRules = NO_RULES, text: str = TEXT, task: str = "shop.tasks.pay", **more: str) -> Fingerprint:
    return fingerprint_of(
        kind="exception",
        task=task,
        exception_type="shop.errors.Declined",
        message="order 7 declined",
        stacktrace=text,
        rules=rules,
        **more,
    )


def by(**conditions: tuple[str, ...] | str) -> FailureRules:
    known = {"name": "ours", "key": "ours"} | conditions
    return FailureRules(rules=(Rule(**known),))  # type: ignore[arg-type]


GIVEN = of(override="ours")
MATCHING = [
    {"exceptions": ("shop.errors.*",)},
    {"exceptions": ("Declined",)},
    {"exceptions": ("Nothing", "OSError")},
    {"messages": ("order * declined",)},
    {"exceptions": ("OSError",), "messages": ("*no route*",)},
    {"tasks": ("shop.tasks.p?y",)},
    {"frames": ("shop.gateway.*",)},
    {"frames": ("shop.tasks.pay",)},
    {"frames": ("acme.shared.retrying.call",), "tasks": ("shop.*",)},
    {"clusters": (of().key,)},
    {"clusters": ("nothing", f"{of().key[:8]}*"), "tasks": ("shop.*",)},
]
NOT_MATCHING = [
    {"exceptions": ("declined",)},
    {"exceptions": ("OSError",), "messages": ("order*",)},
    {"messages": ("declined",)},
    {"tasks": ("shop.tasks.pay.*",)},
    {"frames": ("gateway",)},
    {"frames": ("hop.gateway.*",)},
    {"frames": ("shop.gateway.*",), "tasks": ("other.*",)},
    {"clusters": (of().key[:8],)},
    {"clusters": (of().coarse_key, of().exact_key)},
]


@pytest.mark.parametrize("conditions", MATCHING)
def test_a_rule_whose_conditions_all_match_gives_the_key(conditions: dict[str, tuple[str, ...]]) -> None:
    assert of(by(**conditions)).key == GIVEN.key


@pytest.mark.parametrize("conditions", NOT_MATCHING)
def test_a_rule_of_which_one_condition_does_not_match_changes_nothing(conditions: dict[str, tuple[str, ...]]) -> None:
    assert of(by(**conditions)) == of()


def test_the_first_rule_that_matches_goes_before_the_others_and_before_the_programs_word() -> None:
    rules = FailureRules(rules=(*by(tasks=("x",)).rules, *by(tasks=("*",)).rules, Rule("b", "b", tasks=("*",))))
    assert of(rules, override="program").key == GIVEN.key


def test_a_given_key_is_the_same_whatever_fails_and_has_the_computed_title() -> None:
    assert of(override="ours", text="", task="t").key == GIVEN.key
    assert GIVEN.key == GIVEN.coarse_key != of().key
    assert GIVEN.title == of().title == "Declined in call: order <n> declined"
    assert of(override="ours", text="").exact_key != GIVEN.exact_key


def test_a_key_and_a_title_may_hold_what_was_computed() -> None:
    apart = by(tasks=("*",), key="{default} of {task}", title="{type} at {culprit}: {default}")
    first, second = of(apart), of(apart, task="shop.tasks.other")
    assert first.key not in {second.key, of().key}
    assert first.key == of(override="{default} of {task}").key
    assert first.title == "Declined at shared.retrying in call: Declined in call: order <n> declined"


def test_a_cluster_is_split_into_the_ways_that_lead_to_it() -> None:
    other_way, other_line = TEXT.replace("in pay", "in pay_again"), TEXT.replace("line 3", "line 30")
    assert of().key == of(text=other_way).key
    split = by(clusters=(of().key,), key="{way}")
    assert len({of(split).key, of(split, text=other_way).key, of().key}) == 3
    assert of(split).key == of(split, text=other_line).key
    assert of(split).title == of().title


def test_a_cluster_that_the_program_names_is_known_to_a_rule_by_its_fingerprint() -> None:
    other_way = TEXT.replace("in pay", "in pay_again")
    split = by(clusters=(GIVEN.key,), key="{way}")
    assert of(split, override="ours").key not in {GIVEN.key, of(split, text=other_way, override="ours").key}
    assert of(split) == of()


def test_a_title_stays_one_line_of_at_most_200_characters() -> None:
    assert of(by(tasks=("*",), title="a\nb")).title == "a"
    assert len(of(by(tasks=("*",), title="x" * 500)).title) == 200


@pytest.mark.parametrize("pattern", ["acme.*", "acme.shared", "retrying", "/opt/acme/*", "*/retrying.py"])
def test_frames_that_are_excluded_are_not_the_applications(pattern: str) -> None:
    found = of(FailureRules(InApp(exclude=(pattern,))))
    assert found.culprit == "shop.tasks in pay"


@pytest.mark.parametrize("pattern", ["acme.*", "acme", "/opt/*/site-packages/acme/*"])
def test_frames_that_are_included_are_the_applications_wherever_they_are(pattern: str) -> None:
    installed = TEXT.replace("/opt/acme/", "/opt/venv/lib/python3.11/site-packages/acme/")
    assert of(text=installed).culprit == "shop.tasks in pay"
    assert of(FailureRules(InApp(include=(pattern,))), text=installed).culprit == "shared.retrying in call"
    both = InApp(include=(pattern,), exclude=("retrying",))
    assert of(FailureRules(both), text=installed).culprit == "shop.tasks in pay"
