"""All processors together, on whatever may come in: each record is accounted for, and shortcuts change nothing."""

from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_collector.otlp.answers import JSON
from celeryscope_collector.pipeline import ExportRequest, Outcome, Pipeline
from celeryscope_collector.prepare import prepared
from celeryscope_collector.processors_file.reading import read_processors
from celeryscope_collector.records import LOGS, TRACES, Signal
from celeryscope_collector.watched import Fixed
from collector_samples import any_items, values, with_shortcuts, without_shortcuts

EXAMPLE = Path(__file__).parents[2] / "deploy" / "collector" / "processors.yaml"
PIPELINE = Pipeline(Fixed(prepared(read_processors(EXAMPLE))), 10_000_000, 100_000)
SIGNALS = st.sampled_from([LOGS, TRACES])

_LOOKED_AT = [
    semconv.TASK_NAME,
    semconv.TASK_ID,
    semconv.RETRIES,
    semconv.STATE,
    semconv.RUNTIME,
    semconv.EXCEPTION_TYPE,
    semconv.SAMPLING_RATIO,
    semconv.OWNER_TEAM,
    semconv.LOGGER_NAME,
]
_TEXTS = st.sampled_from(["shop.payments.charge", "a.health.ping", "botocore.auth", "SUCCESS", "LOST", ""])
_NAMED = st.builds(lambda text: {"key": semconv.TASK_NAME, "value": {"stringValue": text}}, _TEXTS)
_ATTRIBUTES = _NAMED | st.fixed_dictionaries(
    {"key": st.sampled_from(_LOOKED_AT), "value": st.fixed_dictionaries({"stringValue": _TEXTS}) | values()}
)


def requests(signal: Signal) -> st.SearchStrategy[list[Any]]:
    """Records that processors look at, with values of the types they expect and of others, and anything else."""
    known: dict[str, st.SearchStrategy[Any]] = {
        "traceId": st.sampled_from([f"{number:032x}" for number in range(1, 6)]),
        "attributes": st.lists(_ATTRIBUTES, max_size=4),
    }
    if signal is LOGS:
        names = st.sampled_from(["", "order.paid", semconv.EVENT_TASK_FAILED, semconv.EVENT_BEAT_DUE])
        known |= {"severityNumber": st.sampled_from([0, 5, 9, "13"]), "eventName": names}
    else:
        ends = st.sampled_from(["17", "1000", "60000000017"])
        status = st.fixed_dictionaries({"code": st.sampled_from([0, 1, 2, "2"])})
        known |= {"spanId": st.just("ab" * 8), "startTimeUnixNano": st.just("17"), "endTimeUnixNano": ends}
        known["status"] = status
    # One odd record costs its neighbours the shortcut, so they come apart, too.
    plain = st.fixed_dictionaries(known)
    return st.lists(plain, min_size=1, max_size=6) | st.lists(plain | any_items(signal), max_size=6)


def run(signal: Signal, items: list[Any]) -> Outcome:
    resource = {"attributes": [{"key": semconv.SERVICE_NAME, "value": {"stringValue": "web"}}]}
    scoped = {signal.scope_key: [{signal.item_key: items}], "resource": resource}
    body = orjson.dumps({signal.resource_key: [scoped]})
    return PIPELINE.run(ExportRequest(signal, "acme", JSON, "", body, 17), 3)


@settings(max_examples=60)
@given(SIGNALS.flatmap(lambda signal: st.tuples(st.just(signal), requests(signal))))
def test_every_record_is_accepted_refused_or_dropped(sent: tuple[Signal, list[Any]]) -> None:
    outcome = run(*sent)
    assert outcome.accepted + outcome.refused.total() + outcome.dropped.total() == len(sent[1])
    names = {"drop.health-checks", "drop.chatty-libraries", "drop.beat-is-due", "sampling"}
    assert set(outcome.dropped) <= names


@settings(max_examples=60)
@given(SIGNALS.flatmap(lambda signal: st.tuples(st.just(signal), requests(signal))))
def test_the_outcome_is_the_same_whether_records_are_surveyed_or_not(sent: tuple[Signal, list[Any]]) -> None:
    fast, slow = with_shortcuts(lambda: run(*sent)), without_shortcuts(lambda: run(*sent))
    assert (fast.messages, fast.refused, fast.dropped) == (slow.messages, slow.refused, slow.dropped)
