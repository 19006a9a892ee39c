"""What is compared: each instrumentation set up as its own documentation says, chosen by ``BENCH_PEER``.

Where a default would make an instrumentation drop what a full queue brings, its limit is raised: one that throws its
data away would look cheap. The queue of OpenTelemetry's batch processors holds 2,048 records and that of Sentry's
transport 100; both throw away what does not fit.
"""

import os
from typing import Any

from celery import Celery, signals

PLAIN = "plain"
CELERYSCOPE = "celeryscope"
OPENTELEMETRY = "opentelemetry"
OPENTELEMETRY_LOGS = "opentelemetry-logs"
SENTRY = "sentry"
ELASTIC_APM = "elastic-apm"
PEERS = (OPENTELEMETRY, OPENTELEMETRY_LOGS, SENTRY, ELASTIC_APM)
ALL = (PLAIN, CELERYSCOPE, *PEERS)

_QUEUE = 1_000_000
_FLUSH_SECONDS = 60


def instrument(app: Celery) -> None:
    """Instrument this process; it sends to ``BENCH_SINK``; ``BENCH_POOL``: the worker's pool, empty in a publisher."""
    peer, pool = os.environ["BENCH_PEER"], os.environ.get("BENCH_POOL", "")
    _SET_UPS[peer](app, pool)


def _plain(app: Celery, pool: str) -> None:
    """Celery as it is."""


def _celeryscope(app: Celery, pool: str) -> None:
    """All defaults: events, spans and logs on. Endpoint and spool come from ``CELERYSCOPE_*``."""
    import celeryscope

    celeryscope.instrument(app)


def _opentelemetry(app: Celery, pool: str) -> None:
    _in_each_process(pool, _opentelemetry_traces)


def _opentelemetry_logs(app: Celery, pool: str) -> None:
    def both() -> list[Any]:
        return [*_opentelemetry_traces(), *_opentelemetry_log_lines()]

    _in_each_process(pool, both)


def _in_each_process(pool: str, set_up: Any) -> None:
    """Batch processors own a thread, so they are made after the fork; what they hold is sent when the process ends."""
    providers: list[Any] = []

    def begin(**_: Any) -> None:
        providers.extend(set_up())

    def end(**_: Any) -> None:
        for provider in providers:
            provider.shutdown()

    if pool == "prefork":
        signals.worker_process_init.connect(begin, weak=False)
        signals.worker_process_shutdown.connect(end, weak=False)
    elif pool:
        # Not worker_init: Celery takes the root logger's handlers away after it.
        signals.worker_ready.connect(begin, weak=False)
        signals.worker_shutdown.connect(end, weak=False)
    else:
        begin()  # a publisher: the providers shut down at its exit


def _opentelemetry_traces() -> list[Any]:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=os.environ["BENCH_SINK"] + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()
    return [provider]


def _opentelemetry_log_lines() -> list[Any]:
    import logging

    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=os.environ["BENCH_SINK"] + "/v1/logs")
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=_QUEUE))
    set_logger_provider(provider)
    logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
    return [provider]


def _sentry(app: Celery, pool: str) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration

    sentry_sdk.init(
        dsn=os.environ["BENCH_SINK"].replace("://", "://key@") + "/1",
        traces_sample_rate=1.0,
        integrations=[CeleryIntegration()],
        transport_queue_size=_QUEUE,
        shutdown_timeout=_FLUSH_SECONDS,
    )


def _elastic_apm(app: Celery, pool: str) -> None:
    from elasticapm import Client
    from elasticapm.contrib.celery import register_exception_tracking, register_instrumentation

    client = Client(service_name="bench", server_url=os.environ["BENCH_SINK"])
    register_instrumentation(client)
    register_exception_tracking(client)


_SET_UPS = {
    PLAIN: _plain,
    CELERYSCOPE: _celeryscope,
    OPENTELEMETRY: _opentelemetry,
    OPENTELEMETRY_LOGS: _opentelemetry_logs,
    SENTRY: _sentry,
    ELASTIC_APM: _elastic_apm,
}
