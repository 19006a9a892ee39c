"""Processors run in their order, and only those that could change something."""

from collections import Counter
from dataclasses import replace

import pytest

from celeryscope.errors import Rejected
from celeryscope_collector.chain import Chain, through
from celeryscope_collector.processors import Processor, Survey
from celeryscope_collector.records import Origin, Record
from collector_samples import attribute, log_record


def adds(name: str) -> Processor:
    def add(record: Record) -> Record:
        record.attributes.append(attribute(name, "added"))
        return record

    return Processor(record=add, leaves=lambda survey: name in survey.names)


def names_behind(chain: Chain, survey: Survey | None) -> list[str]:
    record = log_record()
    assert through(chain.steps(survey), record, Counter()) is record
    return [attribute["key"] for attribute in record.attributes]


def test_all_processors_run_in_their_order_when_nothing_is_known() -> None:
    assert names_behind(Chain([("a", adds("a")), ("b", adds("b"))]), None) == ["a", "b"]


def test_a_processor_that_leaves_the_records_as_they_are_does_not_run() -> None:
    chain = Chain([("a", adds("a")), ("b", adds("b"))])
    assert names_behind(chain, Survey(names=frozenset({"a"}))) == ["b"]


def test_behind_a_processor_that_changes_records_no_survey_is_believed() -> None:
    chain = Chain([("a", adds("a")), ("b", adds("b"))])
    assert names_behind(chain, Survey(names=frozenset({"b"}))) == ["a", "b"]


def test_behind_a_processor_that_only_decides_the_survey_still_holds() -> None:
    decides = Processor(record=lambda record: record, decides=True)
    chain = Chain([("decides", decides), ("b", adds("b"))])
    assert names_behind(chain, Survey(names=frozenset({"b"}))) == []


def test_a_processor_may_look_at_all_records_before_any_is_processed() -> None:
    seen: list[str] = []
    looks = Processor(look=lambda record: seen.append(record.text("name")))
    chain = Chain([("looks", looks), ("drops", Processor(record=lambda _: None))])
    chain.look([log_record(name="a"), log_record(name="b")])
    assert seen == ["a", "b"]
    assert [name for name, _ in chain.steps(None)] == ["drops"]


def test_a_dropped_record_is_counted_by_who_dropped_it_and_goes_no_further() -> None:
    dropped: Counter[str] = Counter()
    record = log_record()
    chain = Chain([("drops", Processor(record=lambda _: None)), ("b", adds("b"))])
    assert through(chain.steps(None), record, dropped) is None
    assert dropped == {"drops": 1}
    assert record.attributes == []


def test_an_origin_goes_through_all_processors_and_may_be_refused() -> None:
    def renamed(origin: Origin) -> Origin:
        return replace(origin, scope_schema=origin.scope_schema + "x")

    def refuses(_: Origin) -> Origin:
        raise Rejected("unwanted")

    changes = ("changes", Processor(origin=renamed))
    assert Chain([changes, ("a", adds("a")), changes]).origin(Origin({}, {})).scope_schema == "xx"
    with pytest.raises(Rejected):
        Chain([changes, ("refuses", Processor(origin=refuses))]).origin(Origin({}, {}))
