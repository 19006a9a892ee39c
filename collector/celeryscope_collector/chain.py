"""The processors in their order, over the origins and records of one request."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

from celeryscope_collector.processors import Processor, Survey
from celeryscope_collector.records import Origin, Record

Steps: TypeAlias = list[tuple[str, Callable[[Record], Record | None]]]


class Chain:
    """What the processors of one request do, as little of it as their promises allow."""

    def __init__(self, processors: Iterable[tuple[str, Processor]]) -> None:
        """Names and processors in their order."""
        self._processors = list(processors)

    def origin(self, origin: Origin) -> Origin:
        """A resource and scope as all processors leave them. Raises Rejected when one refuses it."""
        for _, processor in self._processors:
            if processor.origin is not None:
                origin = processor.origin(origin)
        return origin

    @property
    def looks(self) -> bool:
        """Whether a processor wants to see all records before any is processed."""
        return any(processor.look is not None for _, processor in self._processors)

    def look(self, records: Iterable[Record]) -> None:
        """Show the processors that want it all records of the request, before any of them is processed."""
        if looks := [processor.look for _, processor in self._processors if processor.look is not None]:
            for record in records:
                for look in looks:
                    look(record)

    def steps(self, survey: Survey | None) -> Steps:
        """What has to be done to each of the records surveyed; all of it when nothing is known of them (None).

        A survey says nothing any more about records that a processor has changed.
        """
        steps: Steps = []
        for name, processor in self._processors:
            if processor.record is None or (survey is not None and processor.leaves(survey)):
                continue
            steps.append((name, processor.record))
            if not processor.decides:
                survey = None
        return steps


def through(steps: Steps, record: Record, dropped: Counter[str]) -> Record | None:
    """The record behind all steps; None, and counted in ``dropped``, when one of them drops it. Raises Rejected."""
    for name, step in steps:
        result = step(record)
        if result is None:
            dropped[name] += 1
            return None
        record = result
    return record
