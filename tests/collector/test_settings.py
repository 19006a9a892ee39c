"""Settings that contradict each other are refused together; lists are comma-separated."""

import pytest

from celeryscope.errors import ConfigError, Unavailable
from celeryscope_collector.budget import Budget
from celeryscope_collector.prepare import prepared, sections_of
from celeryscope_collector.settings import CollectorSettings


def test_processors_run_in_the_order_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERYSCOPE_COLLECTOR_PROCESSORS", "limits, identity")
    assert list(prepared(sections_of(CollectorSettings.load()))) == ["limits", "identity"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"processors": "redaction,limits"},
        {"processors": "identity,magic"},
        {"processors": "identity,limits,redaction"},
        {"ssl_key": "/k"},
        {"ssl_client_ca": "/ca"},
        {"tokens_file": "/t", "allow_anonymous": True},
        {"max_bytes_in_flight": 2**20},
        {"port": 70000},
        {"processors_file": "/p", "max_body_bytes": 1000},
    ],
)
def test_contradictions_are_config_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        CollectorSettings.load(**wrong)


def test_a_budget_refuses_what_is_too_much_at_once_but_lets_a_single_one_through() -> None:
    shown: list[int] = []
    budget = Budget(100, shown.append)
    budget.take(150)
    with pytest.raises(Unavailable):
        budget.take(1)
    budget.give_back(150)
    budget.take(60)
    budget.take(40)
    assert shown[-1] == 100
