"""How states look, in every view the same: a colour that people with any colour vision can tell, and a shape.

The colours are those of Okabe and Ito. Nothing is told by colour alone.
"""

from dataclasses import dataclass
from typing import Final

from celeryscope import semconv

PLANNED: Final = "PLANNED"
"""A step of a workflow that may still be reached."""
NEVER_REACHED: Final = "NEVER_REACHED"
"""A step that was planned and can no longer be reached."""

GREEN: Final = "#009E73"
RED: Final = "#D55E00"
ORANGE: Final = "#E69F00"
BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
PURPLE: Final = "#CC79A7"
GREY: Final = "#7A818C"
INK: Final = "#1A1C21"


_FRAME: Final = "M-.9,-.9H.9V.9H-.9Z M-.5,-.5V.5H.5V-.5Z"
_RING: Final = "M-1,0A1,1,0,1,1,1,0A1,1,0,1,1,-1,0Z M-.5,0A.5,.5,0,1,0,.5,0A.5,.5,0,1,0,-.5,0Z"
_HOLLOW_DIAMOND: Final = "M0,-1.2L1.2,0L0,1.2L-1.2,0Z M0,-.6L-.6,0L0,.6L.6,0Z"
_DASH: Final = "M-1,-.35H1V.35H-1Z"


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown; ``shape`` is one of Vega's symbols, or a path of SVG."""

    label: str
    colour: str
    shape: str


LOOKS: Final[dict[str, Look]] = {
    semconv.STATE_SUCCESS: Look("succeeded", GREEN, "circle"),
    semconv.STATE_FAILURE: Look("failed", RED, "cross"),
    semconv.STATE_LOST: Look("lost", PURPLE, "diamond"),
    semconv.STATE_RETRY: Look("retried", ORANGE, "triangle-up"),
    semconv.STATE_REJECTED: Look("rejected", RED, "triangle-down"),
    semconv.STATE_UNKNOWN: Look("unregistered", RED, "square"),
    semconv.STATE_REVOKED: Look("revoked", GREY, "square"),
    semconv.STATE_IGNORED: Look("ignored", GREY, _DASH),
    semconv.STATE_STARTED: Look("running", BLUE, "triangle-right"),
    semconv.STATE_RECEIVED: Look("received", SKY, "triangle-left"),
    semconv.STATE_SENT: Look("sent", SKY, _RING),
    PLANNED: Look("planned", GREY, _HOLLOW_DIAMOND),
    NEVER_REACHED: Look("never reached", INK, _FRAME),
}

BADGES: Final[dict[str, str]] = {
    "^SUCCESS$": "#B5E5D6",
    "^(FAILURE|REJECTED|UNKNOWN)$": "#F6C6A6",
    "^LOST$": "#EBCBDD",
    "^RETRY$": "#F8DFA6",
    "^(STARTED|RECEIVED|SENT|ONLINE)$": "#C2DEF2",
    ".*": "#E3E6EA",
}
"""By pattern of the state's name: what it stands on in tables, light enough for dark text."""


def any_of(states: frozenset[str]) -> str:
    """The states as KQL's list of values."""
    return f"({' or '.join(sorted(states))})"


FAILED: Final = f"{semconv.STATE}: {any_of(semconv.FAILED_STATES)}"
"""KQL: attempts that failed for good."""
ENDED: Final = f"{semconv.STATE}: {any_of(semconv.FINAL_STATES - {semconv.STATE_RETRY})}"
"""KQL: attempts that ended for good; a retried one goes on."""
UNDER_WAY: Final = f"not {semconv.STATE}: {any_of(semconv.FINAL_STATES)}"
"""KQL: attempts that have not ended."""
