"""The first rule that knows a task names its owner, in every record that names the task."""

from typing import Any

import pytest

from celeryscope import semconv
from celeryscope_collector.processors import Survey
from celeryscope_collector.processors.ownership import ownership
from celeryscope_collector.processors_file.models import Ownership, OwnershipRule
from celeryscope_collector.records import LOGS, TRACES, Record
from collector_samples import processed, said, typed

RULES = (
    OwnershipRule(
        tasks=("shop.pay.*", "shop.refund"),
        team="payments",
        severity="critical",
        runbook="https://wiki/pay",
        tier="1",
    ),
    OwnershipRule(tasks=("shop.*",), services=("old-*",), team="legacy"),
    OwnershipRule(tasks=("shop.*",), tenants=("acme", "emca"), team="acme"),
    OwnershipRule(tasks=("shop.*",), team="shop"),
)


def owner(record: Record, tenant: str = "shop", *, overwrite: bool = False) -> dict[str, Any]:
    ((found,), _) = processed({"ownership": ownership(Ownership(rules=RULES, overwrite=overwrite))}, [record], tenant)
    keys = [entry["key"] for entry in found.attributes]
    assert len(keys) == len(set(keys))
    return {name: text for name, text in said(found.attributes).items() if name.startswith("celery.owner.")}


def task(name: str, service: str = "shop", **attributes: str) -> Record:
    attributes = {key.replace("__", "."): text for key, text in attributes.items()}
    return typed(LOGS, {semconv.SERVICE_NAME: service}, {semconv.TASK_NAME: name} | attributes)


PAYMENTS = {
    semconv.OWNER_TEAM: "payments",
    semconv.OWNER_SEVERITY: "critical",
    semconv.OWNER_RUNBOOK: "https://wiki/pay",
    semconv.OWNER_TIER: "1",
}


@pytest.mark.parametrize("signal", [LOGS, TRACES])
def test_events_lines_and_spans_of_a_task_carry_its_owner(signal: Any) -> None:
    record = typed(signal, {}, {semconv.TASK_NAME: "shop.pay.charge", semconv.RETRIES: 1})
    assert owner(record) == PAYMENTS


@pytest.mark.parametrize(
    ("name", "service", "tenant", "team"),
    [
        ("shop.pay.charge", "shop", "shop", "payments"),
        ("shop.pay.charge", "old-shop", "acme", "payments"),
        ("shop.refund", "shop", "shop", "payments"),
        ("shop.refunds", "shop", "shop", "shop"),
        ("shop.mail", "old-shop", "acme", "legacy"),
        ("shop.mail", "shop", "acme", "acme"),
        ("shop.mail", "shop", "shop", "shop"),
        ("Shop.mail", "shop", "shop", None),
        ("my.shop.mail", "shop", "shop", None),
        ("", "shop", "shop", None),
    ],
)
def test_the_first_rule_whose_patterns_all_match_is_taken(
    name: str, service: str, tenant: str, team: str | None
) -> None:
    assert owner(task(name, service), tenant).get(semconv.OWNER_TEAM) == team


def test_a_record_that_names_no_task_has_no_owner() -> None:
    assert owner(typed(LOGS, {semconv.SERVICE_NAME: "old-shop"}, {"order": 7})) == {}


def test_what_the_sender_says_stays_and_the_rest_is_added() -> None:
    claims = task("shop.refund", celery__owner__team="mine", celery__owner__tier="3")
    assert owner(claims) == PAYMENTS | {semconv.OWNER_TEAM: "mine", semconv.OWNER_TIER: "3"}


def test_what_the_sender_says_is_replaced_when_the_file_says_so() -> None:
    assert owner(task("shop.refund", celery__owner__team="mine"), overwrite=True) == PAYMENTS
    claims = task("shop.mail", celery__owner__team="mine", celery__owner__tier="3")
    assert owner(claims, overwrite=True) == {semconv.OWNER_TEAM: "shop", semconv.OWNER_TIER: "3"}


def test_owners_are_not_mixed_up_between_tenants_and_services_that_share_a_task() -> None:
    prepare = ownership(Ownership(rules=RULES))
    for _ in range(2):
        for service, tenant, team in (("shop", "shop", "shop"), ("old-x", "shop", "legacy"), ("shop", "acme", "acme")):
            ((found,), _) = processed({"ownership": prepare}, [task("shop.mail", service)], tenant)
            assert said(found.attributes)[semconv.OWNER_TEAM] == team


def test_records_without_a_task_need_not_be_looked_at() -> None:
    processor = ownership(Ownership(rules=RULES))("shop")
    assert processor.leaves(Survey(names=frozenset({"order"})))
    assert not processor.leaves(Survey(names=frozenset({semconv.TASK_NAME})))
