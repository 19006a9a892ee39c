"""Which indexer reads what, as the group's leader decides it."""

from collections import Counter
from typing import Any, NamedTuple

from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from celeryscope_pipelines.indexer.assignment import ByTopic

TOPICS = ["logs", "traces"]
PARTITIONS = 6


class Cluster:
    def topics(self) -> list[str]:
        return TOPICS

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(PARTITIONS)) if topic in TOPICS else set()


class Member(NamedTuple):
    member_id: str
    metadata: Any


def decide(owned: dict[str, dict[str, list[int]]]) -> dict[str, dict[str, list[int]]]:
    """What each member, by what it owns, gets next."""
    owns = ConsumerProtocolSubscription.TopicPartition
    members = [
        Member(
            name,
            ConsumerProtocolSubscription(
                version=1,
                topics=TOPICS,
                user_data=b"",
                owned_partitions=[owns(topic=topic, partitions=parts) for topic, parts in known.items()],
            ),
        )
        for name, known in owned.items()
    ]
    assigned = ByTopic().assign(Cluster(), members)
    return {
        name: {topic: list(parts) for topic, parts in found.assigned_partitions} for name, found in assigned.items()
    }


def test_a_first_indexer_gets_everything() -> None:
    assert decide({"a": {}}) == {"a": {topic: list(range(PARTITIONS)) for topic in TOPICS}}


def test_each_topic_is_shared_evenly_and_what_moves_is_nobodys_for_one_round() -> None:
    first = decide({"a": {topic: list(range(PARTITIONS)) for topic in TOPICS}, "b": {}})
    assert {topic: len(parts) for topic, parts in first["a"].items()} == dict.fromkeys(TOPICS, 3)
    assert not any(first["b"].values())
    second = decide(first)
    assert second["a"] == first["a"]
    assert {topic: len(parts) for topic, parts in second["b"].items()} == dict.fromkeys(TOPICS, 3)
    held = Counter((topic, part) for known in second.values() for topic, parts in known.items() for part in parts)
    assert held == {(topic, part): 1 for topic in TOPICS for part in range(PARTITIONS)}


def test_who_stays_keeps_what_it_has_when_another_leaves() -> None:
    kept = {"logs": [0, 2, 4], "traces": [1, 3, 5]}
    (left,) = decide({"a": kept}).values()
    assert {topic: sorted(parts) for topic, parts in left.items()} == {topic: list(range(6)) for topic in TOPICS}
