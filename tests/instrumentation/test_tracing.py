import uuid

import pytest

from celeryscope.tracing import link_from, link_text, trace_id_in, trace_id_of


def test_the_trace_of_a_workflow_has_the_bits_of_its_root_id() -> None:
    root = uuid.uuid4()
    assert trace_id_of(str(root)) == root.int


@pytest.mark.parametrize("root_id", ["order-4711", "42", "deadbeef", "bestellung-ä", "\ud800", "0" * 32, "f" * 40])
def test_a_root_id_of_the_applications_own_making_has_one_trace_of_its_own(root_id: str) -> None:
    trace_id = trace_id_of(root_id)
    assert 2**96 < trace_id < 2**128
    assert trace_id == trace_id_of(root_id) != trace_id_of(root_id + "x")


def test_without_a_root_there_is_no_trace() -> None:
    assert trace_id_of(None) == trace_id_of("") == 0


def test_the_trace_of_a_message_is_read_from_its_header() -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert trace_id_in(f"00-{trace_id}-00f067aa0ba902b7-01") == int(trace_id, 16)
    assert [trace_id_in(text) for text in (None, 7, "", "00-zz-00-01", f"00-{'z' * 32}-00f067aa0ba902b7-01")] == [0] * 5


def test_the_link_to_the_attempt_before_survives_the_header() -> None:
    link = link_from(link_text(2**127 + 5, 7))
    assert link is not None
    assert (link.context.trace_id, link.context.span_id, link.context.is_remote) == (2**127 + 5, 7, True)
    assert [link_from(text) for text in (None, "", "a-b-c", "0-0", 5, "zz-1")] == [None] * 6
