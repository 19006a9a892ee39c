from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_pipelines.views.wording import Clock, clean, duration, look, one_line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (1.2, "1.2 s"),
        (59.96, "1 min"),
        (184, "3 min 4 s"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (-2, "-2.0 s"),
    ],
)
def test_durations_are_written_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_what_could_steer_the_terminal_becomes_a_visible_escape() -> None:
    assert clean("a\x1b[31mb\x07\r\x9bc\u202ed\ud800") == "a\\x1b[31mb\\x07\\r\\x9bc\\u202ed\\ud800"


def test_newlines_and_tabs_stay_and_become_spaces_on_one_line() -> None:
    assert clean("a\r\n\tb") == "a\n\tb"
    assert one_line("a\r\n\tb") == "a b"


@given(st.text())
def test_no_text_gets_a_control_character_through(text: str) -> None:
    assert all(character.isprintable() or character in "\n\t" or ord(character) > 0x9F for character in clean(text))
    clean(text).encode()


def test_times_are_local_and_carry_their_date_only_when_it_is_not_today() -> None:
    clock = Clock(datetime(2026, 11, 21, 23, 30, tzinfo=UTC), timezone(timedelta(hours=1), "CET"))
    assert clock.time(datetime(2026, 11, 21, 23, 1, 2, 3456, tzinfo=UTC)) == "00:01:02.003"
    assert clock.time(datetime(2026, 11, 21, 22, 1, 2, 3456, tzinfo=UTC)) == "2026-11-21 23:01:02.003"
    assert clock.date(datetime(2026, 11, 21, 22, 1, 2, tzinfo=UTC)) == "2026-11-21 23:01:02"
    assert clock.zone() == "CET (+01:00)"


def test_ages_are_never_negative_though_clocks_differ() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    clock = Clock(now, UTC)
    assert clock.ago(now + timedelta(seconds=5)) == "just now"
    assert clock.ago(now - timedelta(seconds=184)) == "3 min 4 s ago"
    assert clock.zone() == "UTC"


def test_every_state_has_a_word_and_symbols_that_tell_it_from_the_others() -> None:
    looks = [look(state) for state in semconv.TASK_STATES.values()]
    for shown in ([one.symbol for one in looks], [one.plain_symbol for one in looks], [one.word for one in looks]):
        assert len(set(shown)) == len(looks)
    assert all(one.plain_symbol.isascii() for one in looks)


def test_a_state_nobody_knows_is_shown_as_it_is() -> None:
    assert look("MINE\x1b").label(ascii_only=False) == "? MINE\\x1b"
