"""CPU per item of the three hot paths, in one process each, as ratios to what stands beside them in the same run.

    make bench

Worker: a no-op task through Celery's own tracer: plain, with opentelemetry-instrumentation-celery whose spans go
nowhere, and with celeryscope (its start, its end and its span into the spool); and what the shipper needs to make OTLP
of these, without sending. Collector: decode, redact, limit and encode a request
of 500 records, beside parsing and writing the same JSON with orjson; and with every processor of the example file.
Indexer: decode and documents of the same records; the fingerprint of a failure of 15 frames whose message is new.
Absolute times are noise on a shared machine; the ratios of one run are what to compare.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

_RUNS = 5
_TASKS = 2000
_RECORDS = 500
_ROOT = Path(__file__).parents[2]
_OUTPUT = _ROOT / "build" / "bench" / "hot_paths.json"


def _cpu(work: Callable[[], object], items: int) -> float:
    """Median CPU in microseconds an item over the runs, after one to warm up."""
    work()
    times = []
    for _ in range(_RUNS):
        begin = time.process_time()
        work()
        times.append((time.process_time() - begin) / items * 1e6)
    return median(times)


def _worker(kind: str) -> float:
    from celery import Celery
    from celery.app.trace import build_tracer

    app = Celery("bench", broker="memory://", backend="cache+memory://")

    @app.task(name="noop", ignore_result=True)
    def noop() -> None: ...

    if kind == "opentelemetry":
        from opentelemetry import trace
        from opentelemetry.instrumentation.celery import CeleryInstrumentor
        from opentelemetry.sdk.trace import TracerProvider

        trace.set_tracer_provider(TracerProvider())
        CeleryInstrumentor().instrument()
    elif kind == "celeryscope":
        import celeryscope

        folder = tempfile.mkdtemp(prefix="celeryscope-bench-")
        # Nobody listens there: what is measured is the process that runs tasks, which ships nothing in a pool.
        celeryscope.instrument(
            app, spool_dir=Path(folder), endpoint="http://127.0.0.1:1", ship_interval=3600.0, logs=False
        )
    tracer = build_tracer(noop.name, noop, app=app)

    def run() -> None:
        for _ in range(_TASKS):
            task_id = str(uuid.uuid4())
            header = {"sent_at": 1, "clock": 2, "received_at": 3, "delivery": os.urandom(8).hex()}
            # As Celery's main process hands it over, as far as anybody looks at it.
            request = {
                "id": task_id,
                "root_id": task_id,
                "parent_id": None,
                "task": "noop",
                "retries": 0,
                "eta": None,
                "expires": None,
                "group": None,
                "group_index": None,
                "stamps": {},
                "origin": "gen1@h",
                "hostname": "w@h",
                "is_eager": False,
                "delivery_info": {"exchange": "", "routing_key": "celery", "priority": 0, "redelivered": False},
                "argsrepr": "()",
                "kwargsrepr": "{}",
                "traceparent": f"00-{task_id.replace('-', '')}-{os.urandom(8).hex()}-01",
                "celeryscope": header,
            }
            tracer(task_id, (), {}, request)

    return _cpu(run, _TASKS)


def _shipper() -> float:
    """CPU in microseconds to read a task from the spool as OTLP/JSON."""
    from celeryscope.instrumentor import CeleryscopeInstrumentor
    from celeryscope.spool.reader import FamilyReader

    _worker("celeryscope")
    family = CeleryscopeInstrumentor()._recorder._family
    assert family is not None

    def read() -> None:
        reader = FamilyReader(family)
        while len(reader.read(1024 * 1024)):
            pass

    return _cpu(read, _TASKS * (_RUNS + 1))


def _request() -> bytes:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from celeryscope import semconv
    from support import messages

    events = [messages.event(semconv.EVENT_TASK_SUCCEEDED, str(uuid.uuid4())) for _ in range(_RECORDS)]
    return messages.request("logs", "bench", *events)


def _services() -> dict[str, float]:
    import orjson

    from celeryscope_collector.build import processors_of
    from celeryscope_collector.pipeline import ExportRequest, Pipeline
    from celeryscope_collector.records import LOGS
    from celeryscope_collector.settings import CollectorSettings
    from celeryscope_pipelines.decode import decode
    from celeryscope_pipelines.documents import documents_for

    body = _request()
    example = CollectorSettings(processors_file=_ROOT / "deploy" / "collector" / "processors.yaml")
    pipeline, with_all = (
        Pipeline(processors_of(settings), 64 * 1024 * 1024, 900_000) for settings in (CollectorSettings(), example)
    )
    export = ExportRequest(LOGS, "bench", "application/json", "", body, time.time_ns())
    return {
        "orjson, parse and write": _cpu(lambda: orjson.dumps(orjson.loads(body)), _RECORDS),
        "collector": _cpu(lambda: pipeline.run(export, 6), _RECORDS),
        "collector, every processor": _cpu(lambda: with_all.run(export, 6), _RECORDS),
        "indexer": _cpu(lambda: [documents_for(record) for record in decode(body, "log").records], _RECORDS),
        "fingerprint of a failure": _cpu(_fingerprints, _RECORDS),
    }


def _fingerprints() -> None:
    from celeryscope_pipelines.fingerprint import fingerprint_of

    site, source = "/srv/app/venv/lib/python3.11/site-packages", "return self.run(*args, **kwargs)"
    paths = [f"{site}/celery/app/trace.py"] * 2 + [f"/srv/app/current/shop/{name}.py" for name in ("tasks", "gateway")]
    paths += [f"{site}/requests/sessions.py"] * 11
    frames = "".join(
        f'  File "{path}", line {line}, in call_{line}\n    {source}\n    {"^" * len(source)}\n'
        for line, path in enumerate(paths, 100)
    )
    for number in range(_RECORDS):
        message = f"order {number} of {uuid.uuid4()} declined: no answer from '10.0.0.{number % 250}' after 3.5s"
        error = f"requests.exceptions.HTTPError: {message}"
        fingerprint_of(
            kind="exception",
            task="shop.tasks.pay",
            exception_type="requests.exceptions.HTTPError",
            message=message,
            stacktrace=f"Traceback (most recent call last):\n{frames}{error}\n",
        )


def _in_a_process(part: str) -> Any:
    done = subprocess.run([sys.executable, __file__, part], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure, print a table, and keep the figures in ``build/bench/hot_paths.json``."""
    plain, *others = [(kind, _in_a_process(kind)) for kind in ("plain", "opentelemetry", "celeryscope")]
    shipper, services = _in_a_process("shipper"), _in_a_process("services")
    figures = [{"name": "no-op task, plain", "value": round(plain[1], 1), "unit": "µs"}]
    figures += [
        {"name": f"no-op task, added by {kind}", "value": round(value - plain[1], 1), "unit": "µs"}
        for kind, value in others
    ]
    figures.append({"name": "no-op task, the shipper's part", "value": round(shipper, 1), "unit": "µs"})
    base = services["orjson, parse and write"]
    for name, value in services.items():
        figures.append({"name": f"{name}, a record", "value": round(value, 1), "unit": "µs"})
        if value != base:
            figures.append({"name": f"{name} / orjson", "value": round(value / base, 2), "unit": "ratio"})
    for figure in figures:
        print(f"{figure['name']:<40} {figure['value']:>8} {figure['unit']}")
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        part = sys.argv[1]
        print(json.dumps({"services": _services, "shipper": _shipper}.get(part, lambda: _worker(part))()))
