"""Addresses of views: what Kibana makes of them again, whatever stands in a name."""

import re
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import pytest

from celeryscope import semconv
from celeryscope.service.kibana_views import Kibana, identifier

SINCE = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)


def query_of(address: str) -> str:
    """The KQL of an address, as Kibana reads it: the fragment's part is decoded, then Rison's text."""
    state = unquote(urlsplit(address).fragment.partition("&_a=")[2])
    found = re.fullmatch(r"\(query:\(language:kuery,query:'((?:[^'!]|!.)*)'\)\)", state)
    assert found, state
    return re.sub("!(.)", r"\1", found[1])


def test_an_alert_leads_to_its_dashboard_from_an_hour_before_it_began() -> None:
    row = {semconv.TENANT: "acme", semconv.WORKER: "w@a", semconv.BROKER: "redis://b"}
    address = Kibana("https://kibana:5601/base").of_alert("workers", (*row,), row, SINCE)
    assert address.startswith("https://kibana:5601/base/app/dashboards#/view/celeryscope-workers?_g=")
    assert "_g=(time:(from:'2026-11-21T09:30:00.000Z',to:now))&" in address
    assert query_of(address) == '(celery.tenant:"acme" or data_stream.namespace:"acme") and celery.worker:"w@a"'


def test_a_space_is_in_the_path_and_in_the_id() -> None:
    address = Kibana("https://kibana", "celery").of_alert("pipeline-health", ("celery.pipeline",), {}, SINCE)
    assert address.startswith("https://kibana/s/celery/app/dashboards#/view/celeryscope-celery-pipeline-health?_g=")
    assert "_a=" not in address


@pytest.mark.parametrize("name", ["it's", 'the "one"', "a\\b", "50%&#!?", "a b+c", "ünï)(:,"])
def test_a_name_of_any_kind_stays_itself(name: str) -> None:
    address = Kibana("https://kibana").of_alert("overview", (semconv.TASK_NAME,), {semconv.TASK_NAME: name}, SINCE)
    assert not re.search(r'[\s"<>\\^`{|}]', address), "what ends an address in a text"
    quoted = query_of(address).removeprefix(f'{semconv.TASK_NAME}:"').removesuffix('"')
    assert re.sub(r"\\(.)", r"\1", quoted) == name


def test_several_values_are_any_of_them() -> None:
    row = {semconv.TASK_NAME: ["a", "b"]}
    address = Kibana("https://kibana").of_alert("overview", (semconv.TASK_NAME,), row, SINCE)
    assert query_of(address) == f'{semconv.TASK_NAME}:("a" or "b")'


def test_the_default_space_has_ids_without_its_name() -> None:
    assert identifier("overview") == identifier("overview", "default") == "celeryscope-overview"
