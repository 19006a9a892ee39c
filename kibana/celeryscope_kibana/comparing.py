"""Whether a saved object in Kibana is still what we shipped, and what differs. Pure.

Kibana migrates objects and adds defaults, so only what we ship is looked at: a value that differs, or is missing.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

_JSON_IN_TEXT: Final = frozenset(
    {
        "panelsJSON",
        "optionsJSON",
        "visState",
        "uiStateJSON",
        "searchSourceJSON",
        "fieldAttrs",
        "fieldFormatMap",
        "runtimeFieldMap",
        "sourceFilters",
        "fields",
        "spec",
        "controlGroupInput",
        "ignoreParentSettingsJSON",
    }
)
"""Attributes whose text is JSON; in a reviewable form it stands as JSON."""


def opened(value: Any) -> Any:
    """An object with the JSON in its texts as JSON, and its keys in order."""
    if isinstance(value, Mapping):
        return {key: _opened_text(value[key]) if key in _JSON_IN_TEXT else opened(value[key]) for key in sorted(value)}
    return [opened(item) for item in value] if isinstance(value, list) else value


def reviewable(saved: Mapping[str, Any]) -> str:
    """An object as a text that a person can read and compare: without times, versions and owners."""
    kept = {key: saved[key] for key in ("type", "id", "attributes", "references") if key in saved}
    return json.dumps(opened(kept), indent=2, ensure_ascii=False) + "\n"


def is_as_shipped(shipped: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether ``found`` still holds all that we shipped."""
    return _holds(opened(shipped["attributes"]), opened(found.get("attributes", {})))


def difference(shipped: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What a user has changed, as a unified diff of the reviewable forms; what Kibana adds shows, too."""
    lines = difflib.unified_diff(
        reviewable(shipped).splitlines(keepends=True),
        reviewable(found).splitlines(keepends=True),
        fromfile=f"shipped/{shipped['type']}/{shipped['id']}.json",
        tofile=f"kibana/{shipped['type']}/{shipped['id']}.json",
    )
    return "".join(lines)


def unresolved(objects: list[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """References within a bundle to objects that are not in it: who refers, to which type, to which id."""
    there = {(item["type"], item["id"]) for item in objects}
    for item in objects:
        for reference in item.get("references", []):
            if (reference["type"], reference["id"]) not in there:
                yield item["id"], reference["type"], reference["id"]


def _opened_text(text: Any) -> Any:
    if not isinstance(text, str):
        return opened(text)
    try:
        return opened(json.loads(text))
    except ValueError:
        return text


def _holds(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(wanted[key], found.get(key)) for key in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(_holds(one, other) for one, other in zip(wanted, found, strict=True))
        )
    return bool(wanted == found)
