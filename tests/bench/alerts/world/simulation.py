"""All scenarios side by side, in one simulated clock."""

import random
from collections.abc import Sequence

from alerts.scenario import Scenario
from alerts.world import faults
from alerts.world.engine import Engine
from alerts.world.service import Service
from alerts.world.telemetry import Outbox, Teller, Told

_FIRST_STEPS = 60.0
"""Services that exist from the beginning come to be within this time."""


class Simulation:
    """Goes on step by step and gives what reaches the collector."""

    def __init__(self, scenarios: Sequence[Scenario], epoch: float, begin: float, seed: int) -> None:
        """``epoch``: POSIX time of 0; ``begin``: seconds, below 0, at which the world begins."""
        self.engine = Engine(begin)
        self.outbox = Outbox()
        self.services: dict[str, Service] = {}
        for scenario in scenarios:
            # Each has its own chance, so that a scenario alone runs as it does beside the others.
            chance = random.Random(f"{seed} {scenario.name}")
            service = Service(scenario, Teller(self.engine, self.outbox, epoch, chance))
            self.services[scenario.name] = service
            first = max(scenario.begins, begin + chance.uniform(0, _FIRST_STEPS))
            self.engine.at(first, service.begin)
            faults.schedule(service)

    def step(self, until: float) -> Told:
        """What has reached the collector by then."""
        self.engine.run(until)
        return self.outbox.take(until)
