from datetime import UTC, datetime

import pytest

from celeryscope_pipelines.views.attempts import attempt_from
from celeryscope_pipelines.views.documents import fields, instant, strings
from celeryscope_pipelines.views.logs import log_line


def test_an_attribute_has_the_same_name_in_every_document() -> None:
    entity = {"celery": {"task_id": "t"}, "service.name": "shop"}
    span = {"attributes": {"celery.task_id": "t"}, "resource": {"attributes": {"service.name": "shop"}}}
    assert fields(entity) == fields(span) == {"celery.task_id": "t", "service.name": "shop"}


@pytest.mark.parametrize(
    "written", ["2026-11-21T14:00:00.123456Z", "2026-11-21T15:00:00.123456789+01:00", "1795269600123.456000"]
)
def test_dates_are_read_to_the_microsecond_however_they_are_written(written: str) -> None:
    assert instant(written) == datetime(2026, 11, 21, 14, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("written", [None, "", "soon", True, "9" * 40])
def test_what_is_no_date_is_none(written: object) -> None:
    assert instant(written) is None


def test_an_array_of_one_is_one_value() -> None:
    assert (strings("a"), strings(["a"]), strings(None)) == (("a",), ("a",), ())


def test_an_attempt_is_read_from_nested_and_from_dotted_documents_alike() -> None:
    nested = {"celery": {"task_id": "t", "task_name": "shop.pay", "state": "RETRY", "retries": 2, "chain_ids": "s"}}
    dotted = {f"celery.{name}": value for name, value in nested["celery"].items()}
    assert attempt_from(nested) == attempt_from(dotted)
    assert attempt_from(nested).chain == (("s", "(unnamed task)"),)
    assert (attempt_from(nested).retries, attempt_from(nested).sent_at) == (2, None)


def test_the_names_of_a_chain_never_outnumber_its_steps() -> None:
    chain = {"celery.chain_ids": ["a", "b"], "celery.chain_names": ["shop.a", "shop.b", "shop.c"]}
    assert attempt_from(chain).chain == (("a", "shop.a"), ("b", "shop.b"))


def test_what_a_planned_step_waits_for_is_read_from_its_numbers() -> None:
    steps = {"celery.chain_ids": ["a", "b", "c"], "celery.chain_names": ["a", "b", "c"]}
    assert attempt_from(steps).planned == [(("a", "a"), (0,)), (("b", "b"), (1,)), (("c", "c"), (2,))]
    after = steps | {"celery.chain_after": ["0", "0", "1,2"]}
    assert [numbers for _, numbers in attempt_from(after).planned] == [(0,), (0,), (1, 2)]


def test_an_empty_document_is_an_attempt_without_details() -> None:
    assert (attempt_from({}).task_id, attempt_from({}).state) == ("?", "?")


def test_the_fields_of_a_structured_log_call_are_told_from_our_own_attributes() -> None:
    line = log_line(
        {
            "@timestamp": "2026-11-21T14:00:00Z",
            "severity_number": 13,
            "body": {"text": "slow"},
            "attributes": {"celery.task_id": "t", "logger.name": "shop", "order": 17, "customer": {"id": "c1"}},
        }
    )
    assert (line.level, line.message, line.logger, line.task_id, line.event) == ("WARN", "slow", "shop", "t", None)
    assert line.extra == {"order": 17, "customer.id": "c1"}
