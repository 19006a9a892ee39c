"""The handlers of Celery's publish signals."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from celery import Celery
from opentelemetry.trace import StatusCode

from celeryscope import otlp
from celeryscope.publishing import Publishing
from celeryscope.recorder import Recorder
from celeryscope.settings import Settings
from celeryscope.spool import format as frame
from celeryscope.tracing import SpoolSpanProcessor, TaskSpans


def test_a_publish_that_failed_unseen_is_told_once_whatever_happens_to_the_next_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, app = Recorder(Settings(spool_dir=tmp_path, ship=False)), Celery(broker="memory://")
    publishing = Publishing(recorder, TaskSpans(SpoolSpanProcessor(recorder), recorder.describe), app)

    def publish(name: str) -> Any:
        message = app.amqp.as_task_v2(name, "t", args=(1,))
        publishing.before(sender="t", headers=message.headers, body=message.body, routing_key="q")
        return message.headers

    def fails(_text: object) -> str:
        raise RuntimeError("of the redactor")

    publish("never sent")
    with monkeypatch.context() as patched:
        patched.setattr(recorder, "arguments", fails)
        for name in ("b", "c", "d"):
            publishing.after(headers=publish(name))
    publishing.after(headers=publish("sent"))
    recorder.close()

    (segment,) = tmp_path.rglob("*.seg*")
    frames = list(frame.intact(segment.read_bytes()))
    spans = [orjson.loads(one.payload) for one in frames if one.kind == frame.SPAN]
    assert [span["status"]["code"] for span in spans] == [otlp.SPAN_STATUS[StatusCode.ERROR]]
    assert [b'"sent"' in one.payload for one in frames if one.kind == frame.SENT] == [True]
