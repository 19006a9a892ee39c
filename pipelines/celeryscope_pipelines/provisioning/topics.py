"""Kafka's topics: created when they are missing; one that is there changes only where that was asked for."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final

from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code

from celeryscope import semconv
from celeryscope.errors import ConfigError
from celeryscope.service.changes import Action, Change
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters import MAX_BYTES
from celeryscope_pipelines.kafka_admin import admin_client
from celeryscope_pipelines.kafka_errors import our_kafka_errors
from celeryscope_pipelines.provisioning.plan import Plan

TOPICS: Final = (semconv.TOPIC_TRACES, semconv.TOPIC_LOGS, semconv.TOPIC_DEAD_LETTER)

_PARTITIONS: Final = 6
_REPLICATION: Final = 3
_DEAD_LETTER_SECONDS: Final = 30 * 86_400
_FOR_EVER: Final = -1


def provision_topics(kafka: KafkaSettings, plan: Plan, *, dry_run: bool = False) -> Iterator[Change]:
    """Bring the topics about and tell of each; with ``dry_run`` tell what would become of it.

    Raises Unavailable when Kafka is away, Unauthorized when it refuses us, ConfigError for a replication that the
    cluster has too few brokers for. What was done before stays.
    """
    with our_kafka_errors(), closing(admin_client(kafka, "celeryscope-setup")) as admin:
        brokers = len(admin.describe_cluster()["brokers"])
        replication = plan.replication or min(_REPLICATION, brokers)
        if replication > brokers:
            raise ConfigError(f"A replication of {replication} needs as many brokers; this Kafka has {brokers}.")
        names = [*TOPICS, semconv.TOPIC_METRICS] if plan.metrics else list(TOPICS)
        found = {topic["name"]: _partitions(topic) for topic in admin.describe_topics(names)}
        for name in names:
            if found[name]:
                yield _adjust(admin, name, found[name], plan, dry_run=dry_run)
            else:
                yield _create(admin, name, _new_topic(name, replication, plan), dry_run=dry_run)


def _partitions(topic: Mapping[str, Any]) -> int:
    """How many the topic has; 0 when there is no such topic."""
    code = topic["error_code"]
    if code == UnknownTopicOrPartitionError.errno:
        return 0
    if code == TopicAuthorizationFailedError.errno:
        raise TopicAuthorizationFailedError(f"allow this user Describe, Create and Alter on {topic['name']}")
    if code:
        raise for_code(code)(topic["name"])
    return len(topic["partitions"])


def _new_topic(name: str, replication: int, plan: Plan) -> dict[str, Any]:
    is_dead_letter = name == semconv.TOPIC_DEAD_LETTER
    configs = _wanted(name, plan)
    # With three copies one broker may be away; with acks=all nothing that was acknowledged is lost then.
    configs["min.insync.replicas"] = "2" if replication > 2 else "1"
    if is_dead_letter:
        configs["retention.ms"] = str(_DEAD_LETTER_SECONDS * 1000)
    partitions = 1 if is_dead_letter else plan.partitions or _PARTITIONS
    return {"num_partitions": partitions, "replication_factor": replication, "configs": configs}


def _wanted(name: str, plan: Plan) -> dict[str, str]:
    """Settings that the topic must have, also when it is there already."""
    if name == semconv.TOPIC_DEAD_LETTER:
        return {"max.message.bytes": str(MAX_BYTES)}
    if plan.topic_retention is None:
        return {}
    return {"retention.ms": str(plan.topic_retention * 1000 or _FOR_EVER)}


def _create(admin: KafkaAdminClient, name: str, topic: dict[str, Any], *, dry_run: bool) -> Change:
    detail = f"{_counted(topic['num_partitions'])}, replication {topic['replication_factor']}"
    if not dry_run:
        try:
            admin.create_topics({name: topic}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            # Another setup was quicker.
            return Change("topic", name, Action.UNCHANGED)
    return Change("topic", name, Action.CREATED, detail)


def _adjust(admin: KafkaAdminClient, name: str, partitions: int, plan: Plan, *, dry_run: bool) -> Change:
    wanted = _wanted(name, plan)
    different = _different(admin, name, wanted)
    changes = [f"{key}: {before} -> {wanted[key]}" for key, before in different.items()]
    asked = None if name == semconv.TOPIC_DEAD_LETTER else plan.partitions
    if asked and asked > partitions:
        changes.append(f"partitions: {partitions} -> {asked}")
    if changes and not dry_run:
        if different:
            admin.alter_configs([ConfigResource("topic", name, {key: wanted[key] for key in different})])
        if asked and asked > partitions:
            admin.create_partitions({name: asked})
    if changes:
        return Change("topic", name, Action.CHANGED, ", ".join(changes))
    if asked and asked < partitions:
        return Change("topic", name, Action.KEPT, f"{_counted(partitions)}: Kafka takes none away")
    return Change("topic", name, Action.UNCHANGED, _counted(partitions))


def _different(admin: KafkaAdminClient, name: str, wanted: dict[str, str]) -> dict[str, str]:
    """The present values of the settings that are not as wanted."""
    if not wanted:
        return {}
    resource = ConfigResource("topic", name, dict.fromkeys(wanted))
    present = admin.describe_configs([resource], config_filter="all")["topic"][name]
    return {key: present[key]["value"] for key in wanted if present[key]["value"] != wanted[key]}


def _counted(partitions: int) -> str:
    return f"{partitions} partition{'s' * (partitions != 1)}"
