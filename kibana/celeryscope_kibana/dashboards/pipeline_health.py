"""Pipeline health: does everything arrive, how late, what was refused, dropped, put aside, what waits in spools?

Lag, refusals and dead letters are known to Kafka and to the services' ``/metrics`` only; the watcher (or ``celeryscope
status --record``) writes them into the logs, as `celery.pipeline.measured`.
"""

from celeryscope import semconv
from celeryscope_kibana.dashboards import controls
from celeryscope_kibana.data_views import LOGS, TRACES
from celeryscope_kibana.lens import columns
from celeryscope_kibana.lens.charts import by_top, chart, metric, table
from celeryscope_kibana.saved_objects.dashboard import COLUMNS, Dashboard, Panel, Row
from celeryscope_kibana.states import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY

_HEARTBEAT = f'event_name: "{semconv.EVENT_WORKER_HEARTBEAT}"'


def dashboard() -> Dashboard:
    """The dashboard."""
    put_aside = f"{semconv.MEASURE_DEAD_LETTERS} or {semconv.MEASURE_EXPIRED}"
    return Dashboard(
        "pipeline-health",
        "Celery: pipeline health",
        "From the workers to the index: lag, rates, refusals, drops by reason, dead letters, spools.",
        (
            Row(6, tuple((12, panel) for panel in _figures())),
            Row(
                12,
                (
                    (24, lag()),
                    (24, _measured("Age of the oldest of them in seconds, by topic", semconv.MEASURE_OLDEST)),
                ),
            ),
            Row(12, ((24, _log_rate()), (24, _span_rate()))),
            Row(
                12,
                (
                    (24, _measured("Records that collectors refused, by reason", semconv.MEASURE_REFUSED)),
                    (24, _measured("Records that collectors dropped, by processor", semconv.MEASURE_DROPPED)),
                ),
            ),
            Row(12, ((24, _measured("Dead letters, and messages that expired unread", put_aside)), (24, _pending()))),
            Row(12, ((COLUMNS, _spools()),)),
        ),
        (controls.SERVICE, controls.WORKER, controls.ENVIRONMENT),
        time_from="now-6h",
    )


def lag() -> Panel:
    """How far the indexers are behind, also for the overview."""
    return _measured("Messages that are not indexed yet, by topic", semconv.MEASURE_BEHIND)


def _of(measure: str) -> str:
    """KQL: documents of a measure, or of several joined by ``or``."""
    return f'event_name: "{semconv.EVENT_PIPELINE_MEASURED}" and {semconv.PIPELINE_MEASURE}: ({measure})'


def _figures() -> tuple[Panel, ...]:
    value = semconv.PIPELINE_VALUE
    behind = {"n": columns.maximum("Messages behind, at most", value)}
    letters = {"n": columns.maximum("Dead letters of a reason, at most", value)}
    pending = {"n": columns.maximum("In a spool, at most", semconv.SPOOL_PENDING_BYTES, **columns.BYTES)}
    waiting = {"n": columns.maximum("Indexer waits (1: yes)", value)}
    return (
        metric("Behind", LOGS, behind, "n", colour=BLUE, query=_of(semconv.MEASURE_BEHIND)),
        metric("Waiting", LOGS, waiting, "n", colour=ORANGE, query=_of(semconv.MEASURE_WAITING)),
        metric("Dead letters", LOGS, letters, "n", colour=RED, query=_of(semconv.MEASURE_DEAD_LETTERS)),
        metric("Spools", LOGS, pending, "n", colour=PURPLE, query=_HEARTBEAT),
    )


def _measured(title: str, measure: str) -> Panel:
    value = columns.maximum("Value", semconv.PIPELINE_VALUE)
    return by_top(title, LOGS, ("Of", semconv.PIPELINE_PART), value, query=_of(measure))


def _log_rate() -> Panel:
    counted = {
        "lines": columns.count("Log lines", "not event_name: *", per="m"),
        "failures": columns.count("Failures", 'event_name: "exception"', per="m"),
        "vitals": columns.count("Vitals and other events", "event_name: celery.*", per="m"),
    }
    colours = {"lines": SKY, "failures": RED, "vitals": GREY}
    return chart(
        "Log documents indexed per minute",
        LOGS,
        {"time": columns.over_time(), **counted},
        series=tuple(counted),
        kind="area_stacked",
        colours=colours,
    )


def _span_rate() -> Panel:
    return chart(
        "Spans indexed per minute",
        TRACES,
        {"time": columns.over_time(), "spans": columns.count("Spans", per="m")},
        series=("spans",),
        kind="area",
        colours={"spans": GREEN},
    )


def _pending() -> Panel:
    pending = columns.maximum("Spool", semconv.SPOOL_PENDING_BYTES, **columns.BYTES)
    return by_top("Not shipped yet, by worker", LOGS, ("Worker", semconv.WORKER), pending, query=_HEARTBEAT)


def _spools() -> Panel:
    """Counts since the start of each process family, so the largest is the latest."""
    reasons = {
        reason: columns.maximum(reason.replace("_", " "), f"{semconv.SPOOL_DROPPED_PREFIX}{reason}")
        for reason in semconv.SPOOL_DROP_REASONS
    }
    return table(
        "Spools: shipped, superseded, and dropped by reason, by worker",
        LOGS,
        {
            "worker": columns.top("Worker", semconv.WORKER, 100, "shipped"),
            "shipped": columns.maximum("Shipped", semconv.SPOOL_SHIPPED),
            "superseded": columns.maximum("Superseded", semconv.SPOOL_SUPERSEDED),
            **reasons,
        },
        sort="shipped",
        query=_HEARTBEAT,
    )
