"""The failure rules file: what is right becomes rules in their order, all that is wrong is told with its line."""

from pathlib import Path

import pytest

from celeryscope.errors import ConfigError
from celeryscope_pipelines.fingerprint.places import InApp
from celeryscope_pipelines.fingerprint.rules import NO_RULES, Rule
from celeryscope_pipelines.fingerprint.rules_file import read_rules

EXAMPLE = Path(__file__).parents[3] / "deploy" / "indexer" / "failures.yaml"


def written(folder: Path, text: str) -> Path:
    path = folder / "failures.yaml"
    path.write_text(text)
    return path


def test_rules_come_in_their_order_with_all_their_keys(tmp_path: Path) -> None:
    text = """
in_app: {include: [acme.*], exclude: [shop.generated.*]}
rules:
- name: gateway
  exceptions: [OSError]
  messages: ['*no route*']
  tasks: [shop.*]
  frames: [shop.gateway.*]
  key: 'gateway {task}'
  title: The gateway is away
- name: imports
  tasks: [imports.*]
- name: ways
  clusters: [3f9a21c4*]
  key: '{way}'
"""
    rules = read_rules(written(tmp_path, text))
    assert rules.in_app == InApp(("acme.*",), ("shop.generated.*",))
    assert rules.rules == (
        Rule(
            "gateway", "gateway {task}", "The gateway is away", ("OSError",), ("*no route*",), ("shop.*",),
            ("shop.gateway.*",),
        ),
        Rule("imports", "imports", tasks=("imports.*",)),
        Rule("ways", "{way}", clusters=("3f9a21c4*",)),
    )  # fmt: skip


def test_an_empty_file_has_no_rules_and_the_example_has_some(tmp_path: Path) -> None:
    assert read_rules(written(tmp_path, "")) == NO_RULES
    assert read_rules(EXAMPLE).rules


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rules:\n- name: a\n  taks: [x]", "3:3: unknown key `taks`: did you mean `tasks`?"),
        ("rules:\n- name: a", "2:3: a rule needs at least one of `exceptions`"),
        ("rules:\n- name: a\n  tasks: [x]\n  key: '{tsk}'", "4:8: `{tsk}` is nothing that can be put in here: use"),
        ("rules:\n- name: A b\n  tasks: [x]", "2:9: a name is needed"),
        ("rules:\n- name: a\n  tasks: x", "3:10: a list is needed: [x]"),
        ("rules:\n- tasks: [x]", "2:3: `name` is missing here"),
        ("in_app:\n  include:", "2:11: a value is missing here"),
        ("rules: [", "no YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as told:
        read_rules(path)
    assert f"{path}:" in str(told.value)
    assert problem in str(told.value)


def test_two_rules_of_one_name_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    twice = "rules:\n- {name: a, tasks: [x]}\n- {name: a, tasks: [y]}"
    with pytest.raises(ConfigError, match="two rules are named `a`"):
        read_rules(written(tmp_path, twice))
    with pytest.raises(ConfigError, match=r"the failure rules file .* can't be read"):
        read_rules(tmp_path / "nowhere.yaml")
