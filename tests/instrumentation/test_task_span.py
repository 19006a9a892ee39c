"""The light span does what an application may ask of any span; where somebody else looks, the SDK's takes its place."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.celery import celery_getter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from celeryscope import exceptions
from celeryscope.redaction import Redactor
from celeryscope.running import _span_end
from celeryscope.spool.state import End, Start, ended, packed
from celeryscope.task_span import Ids, TaskSpan
from celeryscope.tracing import _W3C_SAMPLED, _publisher


def _described(error: BaseException) -> dict[str, str]:
    return exceptions.describe(error, None, 10_000, Redactor())


@pytest.fixture
def span() -> TaskSpan:
    return TaskSpan("run/x", SpanKind.CONSUMER, Ids("1f", "2e", "3d"), _described)


def test_what_an_application_sets_is_kept(span: TaskSpan) -> None:
    span.set_attribute("order", 7)
    span.set_attributes({"order": 8, "paid": True})
    span.add_event("charged", {"amount": 12.5}, timestamp=99)
    span.add_link(SpanContext(4, 5, True))
    span.update_name("run/y")
    assert span.attributes == {"order": 8, "paid": True}
    assert span.events == [(99, "charged", {"amount": 12.5})]
    assert span.links[0].context.trace_id == 4
    assert span.name == "run/y"


def test_a_span_that_nobody_has_touched_can_be_read_as_the_sdks(span: TaskSpan) -> None:
    assert (span.attributes, span.events, span.links) == ({}, [], [])
    assert not hasattr(span, "resource")
    assert span.is_as_begun


def test_an_exception_is_recorded_with_its_traceback(span: TaskSpan) -> None:
    try:
        raise ValueError("no such order")
    except ValueError as error:
        span.record_exception(error, {"order": 7})
    _, name, said = span.events[0]
    assert (name, said["exception.type"], said["exception.message"]) == ("exception", "ValueError", "no such order")
    assert "raise ValueError" in said["exception.stacktrace"]
    assert said["order"] == 7


def test_a_status_that_is_ok_stays_and_unset_changes_nothing(span: TaskSpan) -> None:
    span.set_status(Status(StatusCode.ERROR, "first"))
    span.set_status(StatusCode.UNSET)
    assert span.status.description == "first"
    span.set_status(StatusCode.OK)
    span.set_status(StatusCode.ERROR, "later")
    assert span.status.status_code is StatusCode.OK


class _Odd:
    def __str__(self) -> str:
        raise RuntimeError


ODD: list[Callable[[Any], object]] = [
    lambda span: span.update_name(5),
    lambda span: span.update_name(_Odd()),
    lambda span: span.add_event(None),
    lambda span: span.add_event("x", {5: _Odd()}, timestamp='"'),
    lambda span: span.add_link(None),
    lambda span: span.set_status("ERROR"),
    lambda span: span.set_attribute(None, _Odd()),
    lambda span: span.end(1.5),
]


@pytest.mark.parametrize("say", ODD)
def test_what_has_no_form_in_otlp_costs_the_task_neither_an_error_nor_its_end(
    span: TaskSpan, say: Callable[[Any], object]
) -> None:
    say(span)
    span.end()
    end = End(event=None, time_ns=0, severity="", body="", attributes={}, span=_span_end(span, "x", Redactor()))
    start = Start(
        time_ns=5000,
        name="x",
        delivery="0f",
        worker=None,
        system="redis",
        clock=1,
        uid="u",
        request={},
        trace_id="1f",
        span_id="2e",
        parent_id="",
    )
    made = ended(start, json.loads(packed(end)))[1]
    assert made is not None
    assert str(json.loads(made)["endTimeUnixNano"]).isdigit()


def test_after_its_end_nothing_changes(span: TaskSpan) -> None:
    assert span.is_recording()
    span.end(77)
    span.end(88)
    span.set_attribute("late", 1)
    span.add_event("late")
    span.update_name("late")
    span.set_status(StatusCode.ERROR)
    assert (span.end_time, span.attributes, span.events, span.name) == (77, {}, [], "run/x")
    assert span.status.status_code is StatusCode.UNSET
    assert not span.is_recording()


def test_it_holds_a_bounded_number_of_everything(span: TaskSpan) -> None:
    for number in range(500):
        span.set_attribute(f"key {number}", number)
        span.add_event("event")
        span.add_link(SpanContext(4, 5, True))
    assert len(span.attributes) == len(span.events) == len(span.links) == 128


hexadecimal = st.text("0123456789abcdef", min_size=16, max_size=16)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    headers=st.fixed_dictionaries(
        {},
        optional={
            "traceparent": st.one_of(
                st.builds("00-{}{}-{}-{}".format, hexadecimal, hexadecimal, hexadecimal, st.sampled_from(["00", "01"])),
                st.just("00-" + "0" * 32 + "-" + "0" * 16 + "-01"),
                st.text(),
            ),
            "tracestate": st.sampled_from(["a=b", ""]),
            "baggage": st.just("user=7"),
        },
    )
)
def test_the_publishers_context_is_read_as_the_propagators_read_it(headers: dict[str, str]) -> None:
    request = type("Request", (), {})()
    vars(request).update(headers)
    above, _ = _publisher(request, headers)
    theirs = trace.get_current_span(propagate.extract(request, getter=celery_getter)).get_span_context()
    if not theirs.is_valid:
        assert above is None
    else:
        assert above is not None
        assert (int(above.trace_id, 16), int(above.span_id, 16)) == (theirs.trace_id, theirs.span_id)
        assert above.sampled == theirs.trace_flags.sampled
        assert (above.trace_state or {}) == theirs.trace_state
    if headers.keys() <= {"traceparent"}:
        at_once = _W3C_SAMPLED.fullmatch(headers.get("traceparent", ""))
        sampled = above is not None and above.sampled
        assert (at_once and at_once.groups()) == (above[:2] if above is not None and sampled else None)


def test_its_ids_are_those_that_opentelemetry_sees(span: TaskSpan) -> None:
    context = span.get_span_context()
    assert (context.trace_id, context.span_id, context.trace_flags.sampled) == (0x1F, 0x2E, True)
    assert span.get_span_context() is context


RUN = """
import json, sys
from pathlib import Path
from celery import Celery
from opentelemetry import trace
import celeryscope

app = Celery("probe", broker="memory://", backend="cache+memory://")
app.conf.task_always_eager = True

@app.task
def probe():
    span = trace.get_current_span()
    span.set_attribute("order", 7)
    print(json.dumps([type(span).__name__, span.get_span_context().trace_flags.sampled]))

{before}
celeryscope.instrument(app, spool_dir=Path(sys.argv[1]), endpoint="http://127.0.0.1:1", flush_timeout=0.1)
{after}
probe.delay()
{last}
"""


def _run(folder: Path, before: str = "", after: str = "", last: str = "", **environ: str) -> list[Any]:
    code = RUN.format(before=before, after=after, last=last)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_alone_the_light_span_is_current_in_the_task(tmp_path: Path) -> None:
    assert _run(tmp_path) == [["TaskSpan", True]]


EXPORT = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
"""
ADD = "trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))"
SHOW = """
(span,) = exporter.get_finished_spans()
said = span.attributes
print(json.dumps([span.name, said["order"], said["celery.task_name"], said["celery.state"]]))
"""
SEEN = ["run/probe.probe", 7, "probe.probe", "SUCCESS"]


def test_an_exporter_of_the_application_sees_whole_spans(tmp_path: Path) -> None:
    provider = EXPORT + f"trace.set_tracer_provider(TracerProvider()); {ADD}"
    assert _run(tmp_path, before=provider, last=SHOW) == [["_Span", True], SEEN]


def test_an_exporter_that_is_added_later_sees_whole_spans_too(tmp_path: Path) -> None:
    assert _run(tmp_path, after=EXPORT + ADD, last=SHOW) == [["_Span", True], SEEN]


def test_a_sampler_that_is_configured_is_asked(tmp_path: Path) -> None:
    assert _run(tmp_path, OTEL_TRACES_SAMPLER="always_off") == [["NonRecordingSpan", False]]


def test_where_the_sdk_is_disabled_there_are_no_spans(tmp_path: Path) -> None:
    ((kind, _),) = _run(tmp_path, OTEL_SDK_DISABLED="true")
    assert kind == "NonRecordingSpan"


ONLY_RECORD = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
class OnlyRecord(Sampler):
    def should_sample(self, *_, **__):
        return SamplingResult(Decision.RECORD_ONLY)
    def get_description(self):
        return "only record"
trace.set_tracer_provider(TracerProvider(sampler=OnlyRecord()))
"""
SHOW_OPEN = """
from celeryscope.spool import format as frame
(segment,) = Path(sys.argv[1]).rglob("*.segment")
opened = {}
for item in frame.intact(segment.read_bytes()):
    opened[item.key] = item.flags if item.kind == frame.START else frame.still_open(opened.get(item.key, 0), item.flags)
print(json.dumps([hex(key) for key, flags in opened.items() if flags & (frame.OPENS | frame.OF_SPAN)]))
"""


def test_a_span_that_is_recorded_but_not_sampled_is_not_open_for_ever(tmp_path: Path) -> None:
    assert _run(tmp_path, before=ONLY_RECORD, last=SHOW_OPEN) == [["_Span", False], []]


AS_WORKERS_DO = """
import json, os, sys, uuid
from pathlib import Path
from celery import Celery
from celery.app.trace import build_tracer
from opentelemetry import trace
import celeryscope
from celeryscope.instrumentor import CeleryscopeInstrumentor
from celeryscope.spool import format as frame
from celeryscope.spool.reader import FamilyReader

app = Celery("probe", broker="memory://", backend="cache+memory://")
celeryscope.instrument(app, spool_dir=Path(sys.argv[1]), endpoint="http://127.0.0.1:1", flush_timeout=0.1)

@app.task(name="probe")
def probe():
    {does}

task_id = str(uuid.uuid4())
header = {{"sent_at": 1, "clock": 2, "received_at": 3, "delivery": os.urandom(8).hex()}}
request = {{
    "id": task_id, "task": "probe", "root_id": task_id, "parent_id": None, "retries": 0, "origin": "one",
    "stamps": {{}}, "argsrepr": "()", "kwargsrepr": "{{}}", "eta": None, "expires": None, "group": None,
    "celeryscope": header, "delivery_info": {{"routing_key": "celery", "redelivered": False}}, "hostname": "w@h",
    "traceparent": "00-" + 32 * "a" + "-" + 16 * "b" + "-01",
}} | {more}
build_tracer("probe", probe, app=app)(task_id, (), {{}}, request)
(segment,) = Path(sys.argv[1]).rglob("*.segment")
frames = [item for item in frame.intact(segment.read_bytes()) if item.kind in (frame.START, frame.END)]
print(json.dumps([type(json.loads(item.payload)).__name__ for item in frames]))
batch = FamilyReader(CeleryscopeInstrumentor()._recorder._family).read(1 << 20)
((event,),), ((span,),) = batch.logs.values(), batch.spans.values()
event, span = json.loads(event), json.loads(span)
said = {{item["key"] for item in span["attributes"]}}
print(json.dumps([event["eventName"], span["name"], span["parentSpanId"], span["traceId"][:2], "order" in said]))
"""


def _as_workers_do(folder: Path, does: str = "pass", more: str = "{}") -> list[Any]:
    code = AS_WORKERS_DO.format(does=does, more=more)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


TOLD = ["celery.task.succeeded", "run/probe", "b" * 16, "aa"]


def test_a_task_from_a_message_that_does_nothing_to_its_span_is_told_in_arrays(tmp_path: Path) -> None:
    assert _as_workers_do(tmp_path) == [["list", "list"], [*TOLD, False]]


def test_what_a_task_sets_on_its_span_is_told_in_full(tmp_path: Path) -> None:
    sets = "trace.get_current_span().set_attribute('order', 7)"
    assert _as_workers_do(tmp_path, does=sets) == [["list", "dict"], [*TOLD, True]]


def test_a_new_name_of_the_span_is_told_in_full(tmp_path: Path) -> None:
    told = _as_workers_do(tmp_path, does="trace.get_current_span().update_name('pay')")
    assert told == [["list", "dict"], ["celery.task.succeeded", "pay", "b" * 16, "aa", False]]


def test_a_publisher_with_more_of_a_context_is_told_in_full(tmp_path: Path) -> None:
    assert _as_workers_do(tmp_path, more="{'tracestate': 'a=b'}") == [["dict", "dict"], [*TOLD, False]]
