"""Which indexer reads which partitions: evenly by topic, and a partition moves only when it must."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription


class _Member(NamedTuple):
    """A member of the group as kafka-python's assignors see it."""

    member_id: str
    metadata: Any


class ByTopic(CooperativeStickyAssignor):  # type: ignore[misc]
    """kafka-python's cooperative sticky assignor (KIP-429), asked for each topic alone.

    Asked for all topics at once it counts partitions and no more: of two indexers one may get all spans, the other all
    logs, which are three times as many.
    """

    name = "cooperative-sticky-by-topic"

    def assign(self, cluster: Any, members: Iterable[Any]) -> dict[str, Any]:
        """The assignment of each member; a partition that moves is nobody's until the rebalance that follows."""
        members = list(members)
        found: dict[str, list[tuple[str, list[int]]]] = defaultdict(list)
        for topic in sorted({topic for member in members for topic in member.metadata.topics}):
            of_topic = [_Member(member.member_id, _narrowed(member.metadata, topic)) for member in members]
            for member_id, assignment in super().assign(cluster, of_topic).items():
                found[member_id] += assignment.assigned_partitions
        return {
            member.member_id: ConsumerProtocolAssignment(self.version, found[member.member_id], b"")
            for member in members
        }


def _narrowed(metadata: Any, topic: str) -> Any:
    return ConsumerProtocolSubscription(
        version=CooperativeStickyAssignor.version,
        topics=[topic] if topic in metadata.topics else [],
        user_data=b"",
        owned_partitions=[owned for owned in metadata.owned_partitions or () if owned.topic == topic],
    )
