"""What happens to a record between decode and encode: pure functions ``Record -> Record | None``.

A processor is made in two steps: ``prepare(settings)`` once per process, then ``(tenant)`` once per request. None means
that the record is dropped on purpose; ``Rejected`` that it is refused and the sender is told.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from celeryscope_collector.records import Origin, Record

Processor: TypeAlias = Callable[[Record], Record | None]
ForTenant: TypeAlias = Callable[[str], Processor]


def once_per_origin(change: Callable[[Origin], Origin]) -> Callable[[Origin], Origin]:
    """``change``, done once for each origin of a request, however many records share it."""
    done: dict[Origin, Origin] = {}

    def changed(origin: Origin) -> Origin:
        result = done.get(origin)
        if result is None:
            result = done[origin] = change(origin)
        return result

    return changed


def in_place(origin: Callable[[Origin], Origin], item: Callable[[dict[str, Any]], None]) -> ForTenant:
    """The processor, the same for all tenants, that changes each origin of a request once and each item in place."""

    def for_tenant(_tenant: str) -> Processor:
        changed = once_per_origin(origin)

        def process(record: Record) -> Record:
            record.origin = changed(record.origin)
            item(record.item)
            return record

        return process

    return for_tenant
