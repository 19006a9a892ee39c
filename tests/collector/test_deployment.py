"""Resources get what rules say of their senders, and keep what the senders say themselves."""

from typing import Any

import pytest

from celeryscope import semconv
from celeryscope_collector.processors.deployment import deployment
from celeryscope_collector.processors_file.models import Deployment, DeploymentRule
from celeryscope_collector.records import LOGS
from collector_samples import processed, said, typed

ENVIRONMENT, REGION, VERSION = semconv.DEPLOYMENT_ENVIRONMENT, semconv.CLOUD_REGION, semconv.SERVICE_VERSION
RULES = (
    DeploymentRule(services=("pay-*",), attributes={REGION: "eu-west-1"}),
    DeploymentRule(tenants=("acme",), attributes={ENVIRONMENT: "staging", REGION: "us-east-1"}, overwrite=True),
    DeploymentRule(attributes={ENVIRONMENT: "production", REGION: "eu-central-1"}),
)


def resource(tenant: str = "shop", **sent: str) -> dict[str, Any]:
    sent = {name.replace("__", "."): text for name, text in sent.items()}
    ((record,), _) = processed({"deployment": deployment(Deployment(rules=RULES))}, [typed(LOGS, sent, {})], tenant)
    attributes = record.origin.resource["attributes"]
    assert len(attributes) == len(said(attributes))
    return said(attributes)


@pytest.mark.parametrize(
    ("tenant", "service", "environment", "region"),
    [
        ("shop", "web", "production", "eu-central-1"),
        ("shop", "pay-eu", "production", "eu-west-1"),
        ("acme", "web", "staging", "us-east-1"),
        ("acme", "pay-eu", "staging", "eu-west-1"),
    ],
)
def test_each_attribute_is_that_of_the_first_rule_about_the_sender(
    tenant: str, service: str, environment: str, region: str
) -> None:
    found = resource(tenant, service__name=service)
    assert (found[ENVIRONMENT], found[REGION]) == (environment, region)


def test_a_sender_without_a_resource_gets_the_defaults() -> None:
    record = typed(LOGS, {}, {})
    record.origin.resource = {}
    processed({"deployment": deployment(Deployment(rules=RULES))}, [record])
    assert said(record.origin.resource["attributes"]) == {ENVIRONMENT: "production", REGION: "eu-central-1"}


def test_what_the_sender_says_stays_unless_the_rule_may_overwrite_it() -> None:
    sent = {"deployment__environment__name": "dev", "service__version": "2.10"}
    assert resource(**sent) == {ENVIRONMENT: "dev", REGION: "eu-central-1", VERSION: "2.10"}
    assert resource("acme", **sent) == {ENVIRONMENT: "staging", REGION: "us-east-1", VERSION: "2.10"}


def test_only_resources_are_touched() -> None:
    processor = deployment(Deployment(rules=RULES))("shop")
    assert (processor.record, processor.look) == (None, None)
