"""Sampling leaves out what nobody misses, tells for how many a kept record stands, and keeps what tells something."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import otlp, semconv
from celeryscope_collector.processors.sampling import chance, sampling
from celeryscope_collector.processors_file.models import Sampling, SamplingRule
from celeryscope_collector.records import LOGS, TRACES, Record
from collector_samples import processed, said, typed

SECOND = 1_000_000_000
TASK = {semconv.TASK_ID: "t", semconv.TASK_NAME: "shop.pay", semconv.RETRIES: 0}


def trace(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def span(trace_id: str, attributes: dict[str, Any] | None = None, service: str = "shop", **item: Any) -> Record:
    return typed(TRACES, {semconv.SERVICE_NAME: service}, attributes or TASK, traceId=trace_id, **item)


def line(trace_id: str, attributes: dict[str, Any] | None = None, **item: Any) -> Record:
    return typed(
        LOGS, {}, TASK if attributes is None else attributes, **{"severityNumber": 9, "traceId": trace_id} | item
    )


def event(trace_id: str, name: str, **attributes: Any) -> Record:
    known = TASK | {semconv.STATE: semconv.TASK_STATES.get(name, "")}
    known |= {getattr(semconv, key): value for key, value in attributes.items()}
    return typed(LOGS, {}, known, traceId=trace_id, eventName=name, severityNumber=9)


def left(records: list[Record], tenant: str = "shop", **settings: Any) -> list[Record]:
    prepare = sampling(Sampling(**{"ratio": 0.0, "slow_seconds": 3.0} | settings))
    kept, dropped = processed({"sampling": prepare}, records, tenant)
    assert len(kept) + dropped["sampling"] == len(records)
    return kept


def test_with_ratio_0_nothing_of_a_quick_success_stays_but_its_events() -> None:
    done = event(trace(1), semconv.EVENT_TASK_SUCCEEDED, RUNTIME=0.1)
    library = span(trace(1), {"db.system": "redis"}, kind=3)
    assert left([span(trace(1)), library, line(trace(1)), done]) == [done]


@pytest.mark.parametrize("name", sorted(value for key, value in vars(semconv).items() if key.startswith("EVENT_")))
def test_every_event_stays(name: str) -> None:
    assert len(left([event(trace(1), name)])) == 1


@pytest.mark.parametrize(
    "telling",
    [
        pytest.param(span(trace(1), status={"code": 2}), id="failed"),
        pytest.param(span(trace(1), status={"code": "2"}), id="failed, enum as text"),
        *(
            pytest.param(span(trace(1), TASK | {semconv.STATE: state}), id=state)
            for state in ("RETRY", "FAILURE", "REVOKED", "REJECTED", "UNKNOWN", "LOST", "of another version")
        ),
        pytest.param(span(trace(1), TASK | {semconv.RETRIES: 1}), id="a retry's"),
        pytest.param(span(trace(1), startTimeUnixNano="1", endTimeUnixNano=str(3 * SECOND + 1)), id="slow"),
        pytest.param(span(trace(1), events=[{"name": "exception"}]), id="with an exception"),
        pytest.param(event(trace(1), semconv.EVENT_TASK_FAILED), id="failed event"),
        pytest.param(event(trace(1), semconv.EVENT_TASK_RETRIED), id="retried event"),
        pytest.param(event(trace(1), semconv.EVENT_TASK_LOST), id="lost event"),
        pytest.param(event(trace(1), semconv.EVENT_TASK_STACK), id="stack of a slow task"),
        pytest.param(event(trace(1), semconv.EVENT_TASK_SUCCEEDED, RUNTIME=3.0), id="slow success"),
        pytest.param(event(trace(1), semconv.EVENT_TASK_SUCCEEDED, RETRIES=2), id="success of a retry"),
        pytest.param(line(trace(1), TASK | {semconv.RETRIES: 1}), id="line of a retry"),
    ],
)
def test_what_tells_of_a_failure_a_retry_or_a_slow_task_stays_with_all_of_its_trace_in_the_request(
    telling: Record,
) -> None:
    before, behind = line(trace(1)), span(trace(1), {"db.system": "redis"})
    other = line(trace(2))
    assert left([before, telling, behind, other]) == [before, telling, behind]
    assert semconv.SAMPLING_RATIO not in said(before.attributes)


@pytest.mark.parametrize(
    "quiet",
    [
        span(trace(1), status={"code": 1}),
        *(span(trace(1), TASK | {semconv.STATE: state}) for state in ("SENT", "SUCCESS", "IGNORED")),
        span(trace(1), startTimeUnixNano="1", endTimeUnixNano=str(3 * SECOND)),
        line(trace(1), severityNumber="12"),
    ],
)
def test_what_tells_nothing_of_that_kind_is_left_out(quiet: Record) -> None:
    assert left([quiet]) == []


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(line(trace(1), severityNumber=13), id="a warning"),
        pytest.param(line(trace(1), severityNumber=0), id="of unknown severity"),
        pytest.param(line(trace(1), TASK | {semconv.EXCEPTION_TYPE: "ValueError"}), id="with an exception"),
        pytest.param(line(trace(1), {}), id="of no task"),
        pytest.param(line(""), id="of no trace"),
    ],
)
def test_lines_that_always_stay_do_not_keep_their_neighbours(kept: Record) -> None:
    assert left([span(trace(1)), line(trace(1)), kept]) == [kept]


def test_lines_stay_from_the_severity_that_the_file_names() -> None:
    assert len(left([line(trace(1), severityNumber=13)], keep_severity="ERROR")) == 0
    assert len(left([line(trace(1), severityNumber=9)], keep_severity="INFO")) == 1


def test_a_workflow_stays_as_a_whole_or_not_at_all_whatever_request_its_records_come_in() -> None:
    for number in range(50):
        asked = [span(trace(number)), line(trace(number)), span(trace(number), {"db.system": "redis"})]
        kept = [len(left([record], ratio=0.5)) for record in asked]
        assert kept in ([0, 0, 0], [1, 1, 1])
        assert kept[0] == (chance(trace(number)) < 0.5)


def test_totals_follow_from_what_stays() -> None:
    records = [span(trace(number)) for number in range(4000)]
    records += [span(trace(number), status={"code": 2}) for number in range(10_000, 10_100)]
    kept = left(records, ratio=0.1)
    assert 300 < len(kept) < 700
    stands_for = [1 / said(record.attributes).get(semconv.SAMPLING_RATIO, 1) for record in kept]
    assert sum(stands_for) == pytest.approx(4100, rel=0.15)
    assert sum(1 for each in stands_for if each == 1) == 100


def test_a_smaller_ratio_keeps_a_part_of_what_a_larger_one_keeps() -> None:
    traces = [trace(number) for number in range(500)]
    few = {record.item["traceId"] for record in left([span(each) for each in traces], ratio=0.1)}
    many = {record.item["traceId"] for record in left([span(each) for each in traces], ratio=0.5)}
    assert few < many < set(traces)


def test_behind_another_collector_the_smaller_ratio_is_the_true_one() -> None:
    once = left([span(trace(number)) for number in range(500)], ratio=0.1)
    assert left(once, ratio=0.5) == once
    assert {said(record.attributes)[semconv.SAMPLING_RATIO] for record in once} == {0.1}
    twice = left(left([span(trace(number)) for number in range(500)], ratio=0.5), ratio=0.1)
    assert {said(record.attributes)[semconv.SAMPLING_RATIO] for record in twice} == {0.1}
    assert len(twice) == len(once)
    assert all([entry["key"] for entry in record.attributes].count(semconv.SAMPLING_RATIO) == 1 for record in twice)


def test_services_and_tenants_may_have_ratios_of_their_own() -> None:
    rules = (
        SamplingRule(services=("pay-*",), ratio=1.0),
        SamplingRule(tenants=("acme",), ratio=0.0),
    )
    everything = [span(trace(number), service=service) for number in range(50) for service in ("pay-eu", "web")]
    assert {
        said(r.origin.resource["attributes"])["service.name"] for r in left(everything, "acme", ratio=1, rules=rules)
    } == {"pay-eu"}
    assert len(left(everything, ratio=1, rules=rules)) == 100
    assert not any(semconv.SAMPLING_RATIO in said(record.attributes) for record in everything)


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.floats(0, 1))
def test_chance_is_a_share_and_a_ratio_of_1_keeps_all(trace_id: str, ratio: float) -> None:
    assert 0 <= chance(trace_id) < 1
    record = typed(TRACES, {}, {}, traceId=trace_id)
    assert len(left([record], ratio=ratio)) == (chance(trace_id) < ratio)


_VALUES = st.one_of(st.text(max_size=3), st.integers(-5, 5), st.floats(), st.booleans(), st.none(), st.lists(st.text()))
_NAMES = st.sampled_from(
    [semconv.STATE, semconv.RETRIES, semconv.RUNTIME, semconv.TASK_ID, semconv.SAMPLING_RATIO, semconv.EXCEPTION_TYPE]
)


@given(st.sampled_from([LOGS, TRACES]), st.dictionaries(_NAMES, _VALUES), st.booleans(), st.floats(0, 1))
def test_whatever_types_a_senders_attributes_have_there_is_an_answer(
    signal: Any, attributes: dict[str, Any], named: bool, ratio: float
) -> None:
    item = {"eventName": semconv.EVENT_TASK_SUCCEEDED} if named and signal is LOGS else {"severityNumber": "9"}
    record = typed(signal, {}, {}, traceId=trace(1), **item if signal is LOGS else {})
    record.item["attributes"] = otlp.attributes(attributes)
    assert len(left([record], ratio=ratio)) in {0, 1}
