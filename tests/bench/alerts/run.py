"""One run: the world goes on step by step, and after each of them the watcher looks."""

import sys
import time
from collections.abc import Sequence

from alerts.people import People
from alerts.pipeline import Pipeline
from alerts.scenario import Scenario
from alerts.scoring import Alert
from alerts.watching import Watching
from alerts.world.simulation import Simulation

_HISTORY_STEP = 300.0
_TELL = 600.0


class Run:
    """All scenarios side by side, through one pipeline, before one watcher."""

    def __init__(self, pipeline: Pipeline, scenarios: Sequence[Scenario], epoch: float, seed: int) -> None:
        self._pipeline = pipeline
        self._scenarios = scenarios
        self._epoch = epoch
        self._seed = seed
        self._end = 0.0

    def watch(self, history: float, duration: float, step: float) -> list[Alert]:
        """Let the world be for ``history`` seconds unwatched, then ``duration`` seconds watched; what was told."""
        self.simulation = Simulation(self._scenarios, self._epoch, -history, self._seed)
        self._end = duration
        people = People(self._pipeline, self.simulation.services.values())
        begin = time.monotonic()
        moment = -history
        while moment < 0:
            moment = min(moment + _HISTORY_STEP, 0.0)
            self._pipeline.feed(self.simulation.step(moment), self._epoch + moment)
            people.act(moment)
        self._pipeline.settle()
        self.watching = watching = Watching(self._pipeline.client, self._epoch)
        while moment < duration:
            moment += step
            self._pipeline.feed(self.simulation.step(moment), self._epoch + moment)
            people.act(moment)
            self._pipeline.settle()
            watching.tick(moment)
            if moment % _TELL < step:
                took = time.monotonic() - begin
                print(f"{moment / 60:.0f} of {duration / 60:.0f} minutes, {took:.0f} s", file=sys.stderr, flush=True)
        return watching.alerts()

    def has_begun(self, scenario: Scenario) -> bool:
        """Whether all its incidents begin early enough in the run to be told."""
        return all(incident.begin < self._end for incident in scenario.incidents)
