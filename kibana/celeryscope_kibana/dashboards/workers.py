"""Workers and queues: who lives, how busy, how much memory; what waits and for how long; beat; what is stuck."""

from celeryscope import semconv
from celeryscope_kibana import searches
from celeryscope_kibana.dashboards import controls
from celeryscope_kibana.dashboards.overview import ALIVE
from celeryscope_kibana.data_views import LOGS, SCHEDULES, TASKS, WORKERS
from celeryscope_kibana.lens import columns
from celeryscope_kibana.lens.charts import by_top, chart, metric, table
from celeryscope_kibana.saved_objects.dashboard import COLUMNS, Dashboard, Panel, Row, search_panel
from celeryscope_kibana.states import GREEN, ORANGE, PURPLE, RED

_HEARTBEAT = f'event_name: "{semconv.EVENT_WORKER_HEARTBEAT}"'
_DEPTH = f'event_name: "{semconv.EVENT_QUEUE_DEPTH}"'
_WORKER = ("Worker", semconv.WORKER)
_QUEUE = ("Queue", semconv.MESSAGING_DESTINATION)
_SILENT = f'{semconv.STATE}: "ONLINE" and @timestamp < "now-2m"'
_WAITING = f"{semconv.STATE}: {semconv.STATE_SENT}"


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        "workers",
        "Celery: workers and queues",
        "Heartbeats, memory per child, busy against pool, queue depths and oldest wait, stuck tasks, beat.",
        (
            Row(6, tuple((12, panel) for panel in _figures())),
            Row(12, ((24, _busy()), (24, _memory()))),
            Row(12, ((24, _heartbeats()), (24, _depths()))),
            Row(12, ((24, _waiting()), (24, _waits()))),
            Row(12, ((COLUMNS, search_panel(searches.WORKERS_NOW, "Workers, as they said last")),)),
            Row(
                12,
                ((24, search_panel(searches.QUEUES_NOW, "Queues")), (24, search_panel(searches.SCHEDULES_NOW, "Beat"))),
            ),
            Row(14, ((COLUMNS, search_panel(searches.STACKS, "Stacks of tasks that run too long")),)),
            Row(10, ((COLUMNS, search_panel(searches.BROKER, "Broker connections")),)),
        ),
        (controls.SERVICE, controls.WORKER, controls.QUEUE, controls.ENVIRONMENT),
        time_from="now-6h",
    )


def _figures() -> tuple[Panel, ...]:
    name = semconv.WORKER
    late = f'{semconv.BEAT_NEXT_AT} < "now-1m"'
    return (
        metric("Alive", WORKERS, {"n": columns.distinct("Workers alive", name)}, "n", colour=GREEN, query=ALIVE),
        metric("Silent", WORKERS, {"n": columns.distinct("Workers gone silent", name)}, "n", colour=RED, query=_SILENT),
        metric("Not received", TASKS, {"n": columns.count("Sent, not received", _WAITING)}, "n", colour=ORANGE),
        metric("Missed", SCHEDULES, {"n": columns.count("Beat runs missed now", late)}, "n", colour=PURPLE),
    )


def _busy() -> Panel:
    part = (f"average({semconv.ACTIVE})", columns.average("Active", semconv.ACTIVE))
    whole = (f"average({semconv.CONCURRENCY})", columns.average("Pool", semconv.CONCURRENCY))
    share = columns.share("busy", "Busy part of the pool", part, whole)
    grouped = {
        "time": columns.over_time(),
        "worker": columns.top(*_WORKER, 12, None),
        **share,
    }
    return chart("Busy part of the pool, by worker", LOGS, grouped, series=("busy",), split="worker", query=_HEARTBEAT)


def _memory() -> Panel:
    largest = columns.maximum("Largest child", semconv.CHILD_MEMORY, **columns.BYTES)
    return by_top("Memory of the largest child, by worker", LOGS, _WORKER, largest, query=_HEARTBEAT)


def _heartbeats() -> Panel:
    beats = columns.count("Heartbeats")
    return by_top("Heartbeats, by worker", LOGS, _WORKER, beats, kind="bar_stacked", query=_HEARTBEAT)


def _depths() -> Panel:
    depth = columns.maximum("Depth", semconv.QUEUE_DEPTH)
    return by_top("Messages that no worker has yet, by queue", LOGS, _QUEUE, depth, query=_DEPTH)


def _waiting() -> Panel:
    return table(
        "Sent and not received yet, by queue: the oldest",
        TASKS,
        {
            "queue": columns.top(*_QUEUE, 50, "count"),
            "count": columns.count("Waiting"),
            "oldest": columns.earliest("Oldest was sent", semconv.SENT_AT),
            "task": columns.last_value("A task among them", semconv.TASK_NAME),
        },
        sort="count",
        query=_WAITING,
    )


def _waits() -> Panel:
    longest = columns.maximum("Longest wait", semconv.QUEUE_TIME, **columns.SECONDS)
    return by_top("Longest wait in the queue, by queue", TASKS, _QUEUE, longest)
