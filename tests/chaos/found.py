"""What Elasticsearch has about the load, in the plan's words."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from celeryscope import semconv
from chaos.plan import BEGAN, DONE, Identity
from demo.documents import Documents, documents

_SPANS = {"apply_async": "sent span", "run": "run span"}
_TEXT = "body.text"


@dataclass
class Found:
    """How often each identity is there, and the state of each attempt."""

    identities: Counter[Identity] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)


def found(url: str, tenant: str) -> Found:
    """All that is there now of the tenant; its workers' vitals and the like are left out."""
    result = Found()
    with documents(url, tenant) as reader:
        for document in reader.everything(f"{semconv.INDEX_TASKS}-*", (semconv.ATTEMPT, semconv.STATE)):
            result.identities[Identity("entity", document[semconv.ATTEMPT])] += 1
            result.states[document[semconv.ATTEMPT]] = document[semconv.STATE]
        result.identities.update(_spans(reader, tenant))
        result.identities.update(_logs(reader, tenant))
    return result


def _spans(reader: Documents, tenant: str) -> Iterator[Identity]:
    index = f"{semconv.DATA_STREAM_TRACES}-{tenant}"
    for document in reader.everything(index, (semconv.ATTEMPT, semconv.ACTION)):
        if semconv.ATTEMPT in document:
            yield Identity(_SPANS[document[semconv.ACTION]], document[semconv.ATTEMPT])


def _logs(reader: Documents, tenant: str) -> Iterator[Identity]:
    index = f"{semconv.DATA_STREAM_LOGS}-{tenant}"
    for document in reader.everything(index, (semconv.ATTEMPT, "event_name", semconv.EVENT, _TEXT)):
        if semconv.ATTEMPT in document:
            yield _log(document, document[semconv.ATTEMPT])


def _log(document: dict[str, Any], attempt: str) -> Identity:
    # A failure's document has the name that APM looks for, and ours beside it.
    event = document.get(semconv.EVENT) or document.get("event_name")
    if event:
        return Identity("event", attempt, event)
    text = document.get(_TEXT, "")
    return Identity("line", attempt, text if text in {BEGAN, DONE} else f"unplanned: {text}")
