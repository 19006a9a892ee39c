"""How times, durations, states and text of users look on a terminal."""

import re
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from celeryscope import semconv
from celeryscope_pipelines.views.waterfall import NEVER_REACHED, PLANNED

_UNSAFE = re.compile(
    # Controls except newline and tab, and what turns the direction of text round (it can disguise what is written).
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def clean(text: str) -> str:
    """Text of a user, harmless on any terminal: control characters become visible escapes such as ``\\x1b``.

    Newlines and tabs stay. Nothing is shortened.
    """
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Text of a user for one line: as ``clean``, with newlines and tabs as spaces."""
    return " ".join(clean(text).split())


def duration(seconds: float | None) -> str:
    """A length of time as people say it: ``340 ms``, ``1.2 s``, ``3 min 4 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None:
        return ""
    if seconds < 0:
        return "-" + duration(-seconds)
    if round(seconds * 1000) < 1000:
        milliseconds = seconds * 1000
        return f"{milliseconds:.1f} ms" if 0 < milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    return _in_units(round(seconds))


def _in_units(whole: int) -> str:
    for size, name, smaller_size, smaller in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {name} {rest} {smaller}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


class Clock:
    """Writes times in one zone; ``zone`` None is the local one. ``now`` says which day needs no date."""

    def __init__(self, now: datetime, zone: tzinfo | None = None) -> None:
        self.now = now
        self._zone = zone

    def local(self, time: datetime) -> datetime:
        """The time in the clock's zone."""
        return time.astimezone(self._zone)

    def time(self, time: datetime | None) -> str:
        """``14:03:07.123``, with the date in front when it is not today; empty for None."""
        if time is None:
            return ""
        local = self.local(time)
        shown = local.strftime("%H:%M:%S.") + f"{local.microsecond // 1000:03d}"
        return shown if local.date() == self.local(self.now).date() else f"{local:%Y-%m-%d} {shown}"

    def date(self, time: datetime | None) -> str:
        """``2026-11-21 14:03:07``; empty for None."""
        return "" if time is None else f"{self.local(time):%Y-%m-%d %H:%M:%S}"

    def ago(self, time: datetime | None) -> str:
        """``3 min 4 s ago``; ``just now`` for the last second and for the future (clocks differ)."""
        if time is None:
            return ""
        age = (self.now - time) / timedelta(seconds=1)
        return f"{duration(age)} ago" if age >= 1 else "just now"

    def zone(self) -> str:
        """The zone's name with its offset, e.g. ``CET (+01:00)``; ``UTC`` alone for UTC."""
        local = self.local(self.now)
        name, offset = local.strftime("%Z"), local.strftime("%z")
        if local.utcoffset() == timedelta(0) and name in {"UTC", ""}:
            return "UTC"
        return f"{name} ({offset[:3]}:{offset[3:5]})"


class Look(NamedTuple):
    """How a state is shown: with a symbol, a colour and a word, so that none of them is needed to understand it."""

    symbol: str
    plain_symbol: str
    """For terminals that know ASCII only."""
    style: str
    word: str

    def label(self, ascii_only: bool) -> str:
        """Symbol and word."""
        return f"{self.plain_symbol if ascii_only else self.symbol} {self.word}"


_LOOKS: Final[dict[str, Look]] = {
    semconv.STATE_SENT: Look("·", ".", "cyan", "sent"),
    semconv.STATE_RECEIVED: Look("◦", "o", "cyan", "received"),
    semconv.STATE_STARTED: Look("▶", ">", "blue", "running"),
    semconv.STATE_RETRY: Look("↻", "~", "yellow", "retry"),
    semconv.STATE_SUCCESS: Look("✔", "+", "green", "success"),
    semconv.STATE_FAILURE: Look("✘", "x", "red", "failed"),
    semconv.STATE_REVOKED: Look("⊘", "/", "magenta", "revoked"),
    semconv.STATE_IGNORED: Look("-", "-", "bright_black", "ignored"),
    semconv.STATE_REJECTED: Look("⊗", "%", "red", "rejected"),
    semconv.STATE_UNKNOWN: Look("?", "?", "red", "unregistered"),
    semconv.STATE_LOST: Look("!", "!", "bold red", "lost"),
    PLANNED: Look("○", "o", "cyan", "planned"),
    NEVER_REACHED: Look("○", "o", "bright_black", "never reached"),
}


def look(state: str) -> Look:
    """How the state is shown; a state we do not know is shown as it is."""
    return _LOOKS.get(state) or Look("?", "?", "default", one_line(state))


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """``1 task``, ``1,204 tasks``."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
