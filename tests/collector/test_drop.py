"""A rule drops what all its conditions fit, under its own name; what it says nothing of stays."""

from typing import Any

import pytest

from celeryscope import semconv
from celeryscope_collector.processors import Survey
from celeryscope_collector.processors.drop import drop
from celeryscope_collector.processors_file.models import Drop, DropRule
from celeryscope_collector.records import LOGS, TRACES, Record
from collector_samples import processed, typed

SHOP = {semconv.SERVICE_NAME: "shop"}
PING = {semconv.TASK_NAME: "health.ping"}
EVENT = typed(LOGS, SHOP, PING, eventName="celery.task.failed", severityNumber=17)
BEAT = typed(LOGS, SHOP, {}, eventName="celery.worker.heartbeat", severityNumber=9)
SPAN = typed(TRACES, SHOP, PING)
DEBUG = typed(LOGS, SHOP, PING | {semconv.LOGGER_NAME: "botocore.auth"}, severityNumber=5)
INFO = typed(LOGS, SHOP, {semconv.LOGGER_NAME: "shop.pay"}, severityNumber="9")
UNSAID = typed(LOGS, SHOP, {})
FOREIGN = typed(LOGS, {}, {}, severityNumber=9)
FOREIGN.origin.scope = {"name": "botocore"}
ALL = {
    "event": EVENT,
    "beat": BEAT,
    "span": SPAN,
    "debug": DEBUG,
    "info": INFO,
    "unsaid": UNSAID,
    "foreign": FOREIGN,
}


def dropped_by(rule: dict[str, Any], tenant: str = "shop") -> set[str]:
    kept, counted = processed(drop(Drop(rules=(DropRule(name="it", **rule),))), ALL.values(), tenant)
    gone = {name for name, record in ALL.items() if record not in kept}
    assert counted == ({"drop.it": len(gone)} if gone else {})
    return gone


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        ({"events": ("celery.worker.heartbeat",)}, {"beat"}),
        ({"events": ("celery.*",)}, {"event", "beat"}),
        ({"events": ("*",)}, {"event", "beat"}),
        ({"events": ("celery.task.*",), "tasks": ("shop.*",)}, set()),
        ({"tasks": ("health.*",)}, {"event", "span", "debug"}),
        ({"loggers": ("botocore", "botocore.*")}, {"debug", "foreign"}),
        ({"below": "INFO"}, {"debug"}),
        ({"below": "WARN"}, {"debug", "info", "foreign"}),
        ({"below": "WARN", "loggers": ("shop.*",)}, {"info"}),
        ({"below": "FATAL", "tasks": ("health.*",)}, {"debug"}),
        ({"below": "WARN", "services": ("shop",)}, {"debug", "info"}),
        ({"tasks": ("*",), "tenants": ("acme",)}, set()),
        ({"tasks": ("*",), "tenants": ("sh?p",)}, {"event", "span", "debug"}),
    ],
)
def test_a_rule_drops_what_all_its_conditions_fit(rule: dict[str, Any], gone: set[str]) -> None:
    assert dropped_by(rule) == gone


def test_a_drop_is_counted_by_the_first_rule_that_fits() -> None:
    rules = (DropRule(name="a", below="INFO"), DropRule(name="b", below="WARN"))
    assert processed(drop(Drop(rules=rules)), ALL.values())[1] == {"drop.a": 1, "drop.b": 2}


def test_records_without_a_task_need_not_be_looked_at_for_a_rule_about_tasks() -> None:
    (prepare,) = drop(Drop(rules=(DropRule(name="a", tasks=("a",)),))).values()
    assert prepare("shop").decides
    assert prepare("shop").leaves(Survey(names=frozenset({"order"})))
    (prepare,) = drop(Drop(rules=(DropRule(name="a", below="INFO"),))).values()
    assert not prepare("shop").leaves(Survey())


def test_a_line_whose_sender_says_an_event_name_of_its_own_is_an_event() -> None:
    record: Record = typed(LOGS, SHOP, {}, severityNumber=5, eventName="order.paid")
    (rule,) = drop(Drop(rules=(DropRule(name="a", below="WARN"),))).values()
    assert processed({"a": rule}, [record])[0] == [record]
