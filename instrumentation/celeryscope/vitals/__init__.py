"""The vitals: how workers, queues, brokers and schedules are, told by the processes that know.

All of it runs in a worker's main process, in threads of its own, or in beat; pool processes do nothing for it.
"""

from typing import TYPE_CHECKING, Any

from celeryscope.guard import guarded
from celeryscope.out_of_memory import OutOfMemoryKills
from celeryscope.recorder import Recorder

if TYPE_CHECKING:
    from celeryscope.vitals.heartbeat import Heartbeat
    from celeryscope.vitals.queues import QueueWatch

# Imported where it is needed: a publisher has no use for it, and a pool process inherits nothing of it. Never in a
# thread: a process forked meanwhile would find the import unfinished for good.


class Vitals:
    """What one process tells of itself, wired to the moments of its life."""

    def __init__(self, recorder: Recorder, kills: OutOfMemoryKills) -> None:
        self._recorder = recorder
        self._kills = kills
        self._step: tuple[Any, Any] | None = None
        self._broker: Any = None
        self._heartbeat: Heartbeat | None = None
        self._queues: QueueWatch | None = None

    @guarded
    def worker_starts(self, app: Any) -> None:
        """Before the worker is built: watch its broker."""
        from celeryscope.vitals.broker import BrokerWatch

        self._broker = BrokerWatch(self._recorder)
        self._step = (app, self._broker.step())
        app.steps["consumer"].add(self._step[1])

    def worker_ready(self, consumer: Any) -> None:
        """The pool has its processes and the worker takes tasks."""
        self._start_heartbeat(consumer)
        self._record_configuration(consumer)
        self._watch_queues(consumer)

    @guarded
    def _start_heartbeat(self, consumer: Any) -> None:
        from celeryscope.vitals.heartbeat import Heartbeat

        self._heartbeat = Heartbeat(self._recorder, self._broker, consumer, self._kills)
        self._heartbeat.start()

    @guarded
    def _record_configuration(self, consumer: Any) -> None:
        from celeryscope.vitals import configuration

        configuration.record(self._recorder, consumer)

    @guarded
    def _watch_queues(self, consumer: Any) -> None:
        from celeryscope.vitals.queues import QueueWatch

        self._queues = QueueWatch(self._recorder, consumer)
        self._queues.start()

    @guarded
    def worker_stops(self) -> None:
        """The worker ends in good order."""
        if self._queues:
            self._queues.stop()
        if self._heartbeat:
            self._heartbeat.stop()
        self._queues = self._heartbeat = None

    @guarded
    def beat_starts(self, service: Any) -> None:
        """Beat, as a process of its own or inside a worker, has its scheduler."""
        from celeryscope.vitals.beat import BeatWatch

        BeatWatch(self._recorder, service.scheduler).attach()

    def close(self) -> None:
        """Leave the app as it was found."""
        if self._step:
            app, step = self._step
            app.steps["consumer"].discard(step)
