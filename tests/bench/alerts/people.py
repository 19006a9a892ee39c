"""What people do meanwhile, with the product's own commands: they mark a failure cluster as resolved."""

from collections.abc import Iterable

from alerts.pipeline import TENANT, Pipeline
from alerts.scenario import Happening
from alerts.world.service import Service
from celeryscope import semconv
from measuring import MeasurementFailed


class People:
    """Acts for the scenarios of a run at the moments that these name.

    Commands write down the real time. So the simulated one has to be near it: what failed before must be older, what
    fails afterwards newer.
    """

    def __init__(self, pipeline: Pipeline, services: Iterable[Service]) -> None:
        self._pipeline = pipeline
        self._left = [
            (happening, service)
            for service in services
            for happening in service.scenario.happens
            if happening.what == "resolve"
        ]

    def act(self, moment: float) -> None:
        """Do all that is due by ``moment``. Raises MeasurementFailed when it can't be done."""
        due = [each for each in self._left if each[0].begin <= moment]
        if due:
            self._left = [each for each in self._left if each not in due]
            self._pipeline.settle()
        for happening, service in due:
            self._resolve(happening, service)

    def _resolve(self, happening: Happening, service: Service) -> None:
        """The task's failures are cured by the release that runs now."""
        query = {"term": {semconv.TASK_NAME: happening.values["resolve"]}}
        found = self._pipeline.client.search(index=semconv.INDEX_FAILURES, query=query)["hits"]["hits"]
        if not found:
            raise MeasurementFailed(f"{service.scenario.name}: nothing has failed that could be resolved.")
        for hit in found:
            fingerprint = hit["_source"][semconv.FINGERPRINT]
            self._pipeline.command("failures", "resolve", fingerprint, "--release", service.version, "--tenant", TENANT)
