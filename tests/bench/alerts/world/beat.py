"""Beat: sends what is due, catches up after it was away."""

from typing import TYPE_CHECKING

from alerts.scenario import Schedule
from alerts.world import vitals

if TYPE_CHECKING:
    from alerts.world.service import Service


class Beat:
    """The process that sends a service's schedule; it remembers when each entry ran."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._host = service.host(f"{service.scenario.service}-beat-1")
        self._is_up = False
        self._last: dict[str, float] = {}
        self._runs: dict[str, int] = {}
        self.entries = {entry.name: entry for entry in service.scenario.schedules}
        self.stopped_by = ""

    def start(self) -> None:
        """It runs, and sends at once what was missed."""
        self._process = self._service.process(self._host)
        engine = self._service.engine
        self._is_up = True
        for entry in self.entries.values():
            last = self._last.setdefault(entry.name, engine.now - self._service.chance.uniform(0, entry.every))
            engine.at(last + entry.every, self._due, entry, last + entry.every, self._process)

    def stop(self, by: str) -> None:
        """It is down; ``by``: the happening to blame when somebody misses a run."""
        self._is_up = False
        self.stopped_by = by

    def _due(self, entry: Schedule, due: float, process: object) -> None:
        service = self._service
        if entry.name not in self.entries or process is not self._process:
            return
        if not self._is_up:
            service.has_effect(self.stopped_by)
            return
        before, runs = self._last[entry.name], self._runs.get(entry.name, 0)
        vitals.tell_due(self._process, entry, due, before, runs)
        message = service.publish(self._process, service.kind(entry.task))
        if message:
            vitals.tell_due(self._process, entry, due, before, runs, message.id)
        else:
            vitals.tell_due(self._process, entry, due, before, runs, refused=True)
        self._last[entry.name] = service.engine.now
        self._runs[entry.name] = runs + 1
        service.engine.after(entry.every, self._due, entry, service.engine.now + entry.every, self._process)
