import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope.text import REDACTED, cut_middle, redact_repr, redact_urls


@given(st.text(), st.integers(min_value=1, max_value=200))
def test_a_cut_text_keeps_both_ends_and_its_bound(text: str, limit: int) -> None:
    cut = cut_middle(text, limit)
    if len(text.encode(errors="replace")) <= limit:
        assert cut == text
    else:
        assert len(cut.encode()) <= limit + 60
        assert "cut by celeryscope" in cut


def test_the_end_of_a_long_traceback_survives_because_the_error_stands_there() -> None:
    text = "Traceback\n" + "  File x\n" * 100_000 + "ValueError: the reason"
    assert cut_middle(text, 1000).endswith("ValueError: the reason")


@pytest.mark.parametrize(
    "text",
    [
        "{'password': 'hunter2', 'user': 'ann'}",
        '{"db_password": "hunter2"}',
        "{'nested': {'api_key': 'hunter2'}}",
        "login(user='ann', token='hunter2')",
        "{'Authorization': 'Bearer hunter2'}",
        "{'secret': b'hunter2'}",
        "('redis://:hunter2@cache:6379/0',)",
        "('amqp://ann:hunter2@broker//',)",
        r"{'password': 'it\'s hunter2'}",
    ],
)
def test_a_secret_does_not_survive_in_a_repr(text: str) -> None:
    assert "hunter2" not in redact_repr(text)
    assert REDACTED in redact_repr(text)


@pytest.mark.parametrize("text", ["{'order_id': 7, 'note': 'pass it on'}", "('https://example.org/a:b@c',)", "(1, 2)"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_repr(text) == text


def test_a_url_without_password_stays() -> None:
    assert redact_urls("see https://host:8080/path and redis://cache:6379/0") == (
        "see https://host:8080/path and redis://cache:6379/0"
    )


@pytest.mark.parametrize(
    "text",
    ["a" * 200_000, "http://x " + "a.b-" * 50_000, "token" * 40_000, "password=" * 20_000, "://" + ":" * 200_000],
)
def test_no_text_takes_more_than_a_moment(text: str) -> None:
    started = time.process_time()
    redact_repr(text)
    assert time.process_time() - started < 2
