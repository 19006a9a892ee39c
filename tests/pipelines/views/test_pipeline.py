"""What the overview says of the way from the workers to the index."""

from collections import Counter
from datetime import UTC
from typing import Any

from celeryscope_pipelines.account.balance import Collectors
from celeryscope_pipelines.lag import PartitionLag
from celeryscope_pipelines.views.pipeline import IndexerTold, Pipeline, as_dict, render
from celeryscope_pipelines.views.wording import Clock
from pipelines.views.building import at, printed

CLOCK = Clock(at(100), UTC)


def lag(partition: int, **more: Any) -> PartitionLag:
    known: dict[str, Any] = {"behind": 0, "oldest": None, "arriving": 0.5, "forgotten": 0, **more}
    return PartitionLag("celeryscope.logs", partition, **known)


def test_lag_ages_rates_refusals_and_drops_are_named() -> None:
    pipeline = Pipeline(
        partitions=(lag(0), lag(1, behind=1_200, oldest=at(40)), lag(2, behind=3, oldest=at(70), forgotten=7)),
        dead_letters=Counter(undecodable=2),
        indexed_per_second=12.34,
        collectors=Collectors(reached=["c"], accepted=5_000, refused=Counter(bad_time=1), dropped=Counter(sampling=9)),
        indexers=(IndexerTold("http://i:9465", True, 10, 4, {}, {"unavailable": 3}),),
        unreachable=("the collector http://d tells nothing.",),
    )
    screen = printed(*render(pipeline, CLOCK))
    assert (
        screen
        == """\
From the workers to the index
Kafka: 1,203 messages to index, the oldest 1 min ago; 1.5 messages/s arriving
7 messages expired in Kafka before they were indexed
topic             partition  behind  oldest
celeryscope.logs          1   1,200  1 min ago
celeryscope.logs          2       3  30.0 s ago
Indexed in the last minute: 12.3 documents/s
Collectors, since they started: accepted 5,000
  refused: bad_time 1
  dropped on purpose: sampling 9
Indexer http://i:9465, since it started: already there 4, repeated (unavailable) 3, written 10
  it waits for a server that is away
Dead letters: undecodable 2
Not asked: the collector http://d tells nothing.
"""
    )
    told = as_dict(pipeline, at(100))
    assert (told["behind"], told["oldest_unread_seconds"], told["expired_unread"]) == (1_203, 60.0, 7)
    assert told["partitions"][0]["oldest_unread_seconds"] is None


def test_when_all_is_indexed_it_says_so() -> None:
    assert "Kafka: all indexed; 1.0 messages/s arriving" in printed(*render(Pipeline((lag(0), lag(1))), CLOCK))


def test_what_could_not_be_asked_is_no_good_news() -> None:
    screen = printed(*render(Pipeline(unreachable=("Kafka does not answer.",)), CLOCK))
    assert "Not asked: Kafka does not answer." in screen
    assert "all indexed" not in screen
    assert "Dead letters" not in screen
    told = as_dict(Pipeline(), at(100))
    silent = ("behind", "oldest_unread_seconds", "messages_per_second", "expired_unread", "dead_letters")
    assert [told[name] for name in silent] == [None] * 5


def test_dead_letters_that_could_not_be_read_are_not_said_to_be_none() -> None:
    assert "Dead letters" not in printed(*render(Pipeline((lag(0),)), CLOCK))
    assert "Dead letters: nothing" in printed(*render(Pipeline((lag(0),), dead_letters={}), CLOCK))
