"""What tests of the spool's array forms share: values as messages have them, and records to compare."""

from typing import Any

import orjson
from hypothesis import strategies as some

from celeryscope.spool import state

TEXT = some.text(max_size=20)
MOMENTS = some.integers(1_700_000_000_000_000, 1_900_000_000_000_000)
ODD = some.one_of(some.none(), some.booleans(), some.floats(), TEXT, some.integers(), some.lists(TEXT, max_size=2))
NAME = "shop.pay"


def usual_or(usual: some.SearchStrategy[Any], odd: some.SearchStrategy[Any] = ODD) -> some.SearchStrategy[Any]:
    """Mostly as it is, now and then as a sender of another kind has it."""
    # Not ``one_of``: that takes the parts of an ``odd`` one by one, and then hardly a message is as usual in all.
    return some.sampled_from([usual] * 30 + [odd]).flatmap(lambda chosen: chosen)


def shown(text: Any) -> str | None:
    """As the recorder shows arguments."""
    return text.replace("secret", "[redacted]") if isinstance(text, str) and text else None


USUAL = {
    "id": "8d0f4a0e-5a43-4a9e-8a2e-1f2e3d4c5b6a",
    "task": NAME,
    "root_id": "8d0f4a0e-5a43-4a9e-8a2e-1f2e3d4c5b6a",
    "parent_id": None,
    "retries": 0,
    "origin": "gen1@one",
    "argsrepr": "('100 %', 'ü\ud800')",
    "kwargsrepr": "{}",
    "eta": None,
    "expires": None,
    "group": None,
    "group_index": None,
    "stamps": {},
}
"""Headers of a message, as Celery makes them."""

HEADERS = {
    "id": usual_or(TEXT),
    "task": usual_or(some.just(NAME)),
    "root_id": usual_or(TEXT),
    "parent_id": usual_or(some.one_of(some.none(), TEXT)),
    "retries": usual_or(some.integers(0, 3)),
    "origin": usual_or(TEXT),
    "argsrepr": usual_or(some.one_of(TEXT, some.just("()"), some.just("('secret',)"))),
    "kwargsrepr": usual_or(some.one_of(TEXT, some.just("{}"))),
    "eta": usual_or(some.none(), some.just("2026-11-21T10:00:00+00:00")),
    "expires": usual_or(some.none(), some.just("2026-11-21T10:00:00+00:00")),
    "group": usual_or(some.none(), TEXT),
    "group_index": usual_or(some.none(), some.integers(0, 3)),
    "stamps": usual_or(some.just({}), some.just({"order": ["7"]})),
    "lang": TEXT,
}
"""Of such headers, mostly as they are."""


def written(told: Any) -> Any:
    """As it comes back from the spool."""
    return orjson.loads(state.packed(told))


def parsed(record: bytes | None) -> Any:
    """Without the order of its attributes."""
    assert record is not None
    content = orjson.loads(record)
    return content | {"attributes": sorted(content["attributes"], key=lambda attribute: attribute["key"])}
