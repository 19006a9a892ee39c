from hypothesis import given
from hypothesis import strategies as st

from celeryscope.redaction import Redactor
from celeryscope.text import cut_middle


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


@given(st.integers(0, 400), st.integers(100, 400))
def test_a_secret_that_the_cut_would_part_from_its_name_is_redacted_before(at: int, limit: int) -> None:
    text = "a" * at + " password='" + "q7Z" * 40 + "' " + "b" * (400 - at)
    assert "q7" not in cut_middle(text, limit, Redactor().text)


def test_of_a_very_long_text_both_ends_are_redacted_and_the_rest_is_not_looked_at() -> None:
    looked_at = 0

    def redact(text: str) -> str:
        nonlocal looked_at
        looked_at += len(text)
        return Redactor().text(text)

    cut = cut_middle("password='q7Z' " + "x" * 50_000_000 + " token='q7Z'", 1000, redact)
    assert "q7Z" not in cut
    assert cut.startswith("password='[redacted]'")
    assert cut.endswith("token='[redacted]'")
    assert looked_at < 100_000
    assert len(cut) < 1100
