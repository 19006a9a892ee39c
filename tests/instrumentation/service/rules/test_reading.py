"""Rules' files and the operator's file: what is wrong is told with its line, all of it at once."""

from pathlib import Path

import pytest

from celeryscope.errors import ConfigError
from celeryscope.service.rules.adjusting import activate, read_adjustments
from celeryscope.service.rules.models import Rule
from celeryscope.service.rules.query import identity_columns
from celeryscope.service.rules.reading import read_rules

SHIPPED = read_rules()

WRONG_RULE = """\
id: other
title: A rule
severity: urgent
category: workers
means: x
what_to_do: x
query: FROM a | WHERE b > {limit} | STATS c = COUNT(*) BY celery.worker
window: 5
interval: 15s
group: [celery.tenant]
message: "{c:percnt}"
show: x
parameter: {}
"""


def _refusal(folder: Path, text: str) -> str:
    (folder / "rule.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_rules(folder)
    return str(refused.value)


def test_all_shipped_rules_are_valid_and_those_that_were_promised_are_there() -> None:
    promised = {
        "error-spike",
        "failure-rate",
        "new-failure",
        "regressed-failure",
        "stuck-task",
        "task-lost",
        "worker-lost",
        "worker-down",
        "worker-crashed",
        "queue-backlog",
        "queue-stalled",
        "queue-unconsumed",
        "retry-storm",
        "beat-missed",
        "duplicate-execution",
        "memory-growth",
        "deadlock",
        "broker-lost",
        "spool-lag",
        "pipeline-lag",
        "dead-letters",
        "telemetry-silent",
        "telemetry-late",
    }
    assert promised <= {rule.id for rule in SHIPPED}


def test_everything_wrong_with_a_rule_is_told_with_its_line(tmp_path: Path) -> None:
    refusal = _refusal(tmp_path, WRONG_RULE)
    assert "rule.yaml:3:11: `urgent` is not known here" in refusal
    assert "rule.yaml:8:9: a duration is needed, e.g. 90s" in refusal
    assert "rule.yaml:13:1: unknown key `parameter`: did you mean `parameters`?" in refusal


def test_a_rule_whose_parts_do_not_fit_together_is_refused(tmp_path: Path) -> None:
    text = WRONG_RULE.replace("urgent", "high").replace("window: 5", "window: 5m").replace("parameter: {}\n", "")
    refusal = _refusal(tmp_path, text)
    assert "rule.yaml:1:5: `other` stands in rule.yaml" in refusal
    assert "`{limit}` in the query is no parameter" in refusal
    assert "the query's last STATS is by celery.worker, which is what Kibana tells alerts apart by" in refusal
    assert "`{c:percnt}`: did you mean `percent`?" in refusal


@pytest.mark.parametrize(
    ("candidates", "wrong"),
    [
        ("FROM a | STATS n = COUNT(*) BY b, c", "the last STATS is by b, c; it may be by one column of `group`"),
        ("FROM a | STATS n = COUNT(*) BY b", "the last STATS is by b; it may be by one column of `group`"),
        ("FROM a | WHERE b > {limit}", "`{limit}` in the candidates is no parameter"),
    ],
)
def test_candidates_that_do_not_fit_the_rule_are_refused(tmp_path: Path, candidates: str, wrong: str) -> None:
    text = WRONG_RULE.replace("urgent", "high").replace("window: 5", "window: 5m")
    refusal = _refusal(tmp_path, text.replace("parameter: {}", f'candidates: "{candidates}"'))
    assert wrong in refusal


def test_kibana_tells_alerts_apart_by_the_last_stats_by_their_last_names() -> None:
    query = "FROM a | STATS x = MAX(y) BY b | STATS n = COUNT(*) WHERE z BY c, d | RENAME c AS e | WHERE n > 1"
    assert identity_columns(query) == ("e", "d")
    assert identity_columns("FROM a | WHERE b > 1") == ()


def _adjusted(tmp_path: Path, text: str) -> str:
    path = tmp_path / "alerts.yaml"
    path.write_text(text)
    active = activate(SHIPPED, read_adjustments(path, SHIPPED))
    return next((rule.query for rule in active if rule.rule.id == "failure-rate"), "switched off")


def test_an_operator_changes_thresholds_for_all_or_for_some_and_leaves_some_out(tmp_path: Path) -> None:
    text = """\
rules:
  failure-rate:
    severity: low
    parameters: {min_failures: 7, recent: 10m}
    special:
      - match: {celery.task_name: ["billing.*", 'odd"name']}
        parameters: {min_failures: 1, max_rate: 0.05}
    ignore: {celery.task_name: ["noisy.?"]}
"""
    query = _adjusted(tmp_path, text)
    odd = r'celery.task_name LIKE "odd\"name"'
    assert f'failed >= CASE(celery.task_name LIKE "billing.*" OR {odd}, 1, 7)' in query
    assert f'sure_of >= CASE(celery.task_name LIKE "billing.*" OR {odd}, 0.05, 0.5)' in query
    assert "NOW() - 600 seconds" in query
    assert query.endswith('| WHERE NOT (celery.task_name LIKE "noisy.?")')


def test_an_operator_switches_a_rule_off(tmp_path: Path) -> None:
    assert _adjusted(tmp_path, "rules: {failure-rate: {enabled: false}}\n") == "switched off"


def test_everything_wrong_with_an_operators_file_is_told_with_its_line(tmp_path: Path) -> None:
    text = """\
rules:
  failure-rat: {enabled: false}
  failure-rate:
    parameters: {min_failure: 1, recent: 7, max_rate: 2}
    special:
      - match: {celery.worker: ["a"]}
        parameters: {min_failures: 1}
    ignore: {celery.queue: ["a"]}
maintenance:
  - {name: deploy, days: [mon]}
"""
    with pytest.raises(ConfigError) as refused:
        _adjusted(tmp_path, text)
    said = str(refused.value)
    assert "alerts.yaml:2:3: `failure-rat` is no rule: did you mean `failure-rate`?" in said
    assert "alerts.yaml:4:18: `failure-rate` has no parameter `min_failure`: did you mean `min_failures`?" in said
    assert "a duration is needed, e.g. 90s" in said
    assert "it should be at least 0 and at most 1" in said
    assert "`min_failures` has only by `celery.task_name`" in said
    assert "`celery.queue` is none of the rule's columns" in said
    assert "one of `begin` and `once` is needed, and not both" in said


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: str(rule.id))
def test_every_rule_says_what_it_means_what_to_do_and_where_to_look(rule: Rule) -> None:
    assert len(rule.means) > 60
    assert len(rule.what_to_do) > 60
    assert rule.show.startswith("celeryscope ")
    assert "since" in rule.query
