"""What failures change about the entities of their clusters, as these are now."""

from collections.abc import Mapping
from dataclasses import dataclass

from celeryscope import semconv
from celeryscope_pipelines.clusters import Entity
from celeryscope_pipelines.clusters.facts import Sightings, complete, merge
from celeryscope_pipelines.clusters.heads import head_of
from celeryscope_pipelines.clusters.states import OURSELVES, after_failures, noted, state_of
from celeryscope_pipelines.clusters.store import ClusterStore, Stored, pointers


@dataclass(frozen=True, slots=True)
class Changes:
    """Entities to write, and what they were made from."""

    stored: Mapping[str, Stored]
    entities: Mapping[str, Entity]
    """Only those that change."""
    heads: Mapping[str, str]
    """Each cluster that has failed, with the one that it is a part of (itself, if it wasn't merged)."""
    watched: frozenset[str]
    """Clusters whose state any failure may change."""


def changes(store: ClusterStore, news: Mapping[str, Sightings]) -> Changes:
    """The facts of each cluster with its news, and the state of that which it is a part of.

    A member keeps its own facts, so that a split has nothing to undo; of its head change the state and the last seen.
    Reads what is there; raises what ``store`` raises.
    """
    stored = store.read_with_heads(news)
    new = {name: seen.facts() for name, seen in news.items() if stored[name].entity is None}
    new |= _joined(store, new)
    stored |= store.read_with_heads({target for target in pointers(new).values() if target not in stored})
    before = {name: complete(one.entity) for name, one in stored.items() if one.entity is not None}
    now = before | new
    now |= {name: merge(before[name], seen.facts()) for name, seen in news.items() if name in before}
    sound = {name: target for name, target in pointers(now).items() if target in now}
    heads = {name: head_of(name, sound) for name in news}
    for name, seen in news.items():
        now[heads[name]] = _headed(now[heads[name]], seen)
    return Changes(
        stored=stored,
        entities={name: entity for name, entity in now.items() if entity != before.get(name)},
        heads=heads,
        watched=frozenset(name for name, head in heads.items() if state_of(now[head]) == semconv.CLUSTER_RESOLVED),
    )


def _joined(store: ClusterStore, new: Mapping[str, Entity]) -> dict[str, Entity]:
    """Those of the new clusters that are a part of another from the start, because somebody said so of all its like."""
    joined: dict[str, Entity] = {}
    for tenant in {name.partition("/")[0] for name in new}:
        mine = {name: entity for name, entity in new.items() if name.startswith(f"{tenant}/")}
        coarse = {name: str(entity.get(semconv.FINGERPRINT_COARSE, "")) for name, entity in mine.items()}
        heads = store.joined_heads(tenant, set(coarse.values()))
        for name, entity in mine.items():
            if head := heads.get(coarse[name]):
                merged = entity | {semconv.FAILURE_MERGED_INTO: head}
                at = str(entity[semconv.FIRST_SEEN])
                joined[name] = noted(merged, at, f"merged into {head}", OURSELVES, "it is joined with its like")
    return joined


def _headed(head: Entity, seen: Sightings) -> Entity:
    changed = after_failures(head, seen)
    last = max(last for _, _, last in seen.by_release())
    return changed | {semconv.LAST_SEEN: last} if last > str(changed[semconv.LAST_SEEN]) else changed
