"""The indexer's writers against a real Elasticsearch that refuses, is full or small."""

import secrets
from collections.abc import Iterator
from threading import Event

import orjson
import pytest
from elasticsearch import Elasticsearch as Client

from celeryscope import semconv
from celeryscope.errors import Unavailable
from celeryscope_pipelines.attributes import moment
from celeryscope_pipelines.indexer import clusters as clusters_module
from celeryscope_pipelines.indexer.batch import Item, Message
from celeryscope_pipelines.indexer.bulk import BulkWriter
from celeryscope_pipelines.indexer.clusters import FailureClusters
from celeryscope_pipelines.indexer.patience import Patience
from celeryscope_pipelines.writes import Op, Write
from servers import Elasticsearch
from support.search import client_of

pytestmark = pytest.mark.elasticsearch

MESSAGE = Message("logs", 0, 1, b"")


@pytest.fixture(scope="module")
def client(elasticsearch: Elasticsearch) -> Iterator[Client]:
    with client_of(elasticsearch.url) as connected:
        yield connected


@pytest.fixture
def index(client: Client) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    client.indices.create(index=name, mappings={"dynamic": "strict", "properties": {"text": {"type": "text"}}})
    yield name
    client.indices.delete(index=name)


@pytest.fixture
def failures_index(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An index of our own in place of celery-failures, since blocking the shared one would disturb other tests."""
    name = f"test-failures-{secrets.token_hex(4)}"
    client.indices.create(index=name)
    monkeypatch.setattr(clusters_module.semconv, "INDEX_FAILURES", name)
    yield name
    client.indices.put_settings(
        index=name, settings={"index.blocks.write": None, "index.blocks.read_only_allow_delete": None}
    )
    client.indices.delete(index=name)


def _item(index: str, identity: str, version: int, number: int, **body: object) -> Item:
    action = {"index": {"_index": index, "_id": identity, "version": version, "version_type": "external"}}
    lines = orjson.dumps(action) + b"\n" + orjson.dumps(body) + b"\n"
    return Item(lines, MESSAGE, number, (index, identity), version)


def _snapshot(index: str, version: int, **body: object) -> Item:
    return _item(index, "t/a:0", version, version, **body)


def _failure(identifier: str, seen: int) -> Write:
    body = {semconv.FIRST_SEEN: moment(seen), semconv.LAST_SEEN: moment(seen)}
    return Write(Op.FAILURE, clusters_module.semconv.INDEX_FAILURES, identifier, body)


def test_snapshots_that_gave_way_to_a_refused_one_are_refused_with_it(client: Client, index: str) -> None:
    writer = BulkWriter(client, Patience(1, Event()))
    items = [_snapshot(index, 1, text="sent"), _snapshot(index, 2, text="started"), _snapshot(index, 3, unknown=1)]
    assert [refused.item.record for refused in writer.write(items)] == [1, 2, 3]


def test_a_batch_larger_than_elasticsearch_takes_at_once_is_written_in_parts(client: Client, index: str) -> None:
    items = [_item(index, str(number), 1, number, text="word " * 20_000) for number in range(600)]
    stop = Event()
    pause_would_end_it = Patience(0.1, stop)
    stop.set()
    assert BulkWriter(client, pause_would_end_it).write(items) == []
    client.indices.refresh(index=index)
    assert client.count(index=index)["count"] == 600


@pytest.mark.parametrize("block", ["index.blocks.write", "index.blocks.read_only_allow_delete"])
def test_a_cluster_that_can_not_be_written_now_is_written_later(
    client: Client, failures_index: str, block: str
) -> None:
    clusters = FailureClusters(client, interval=0)
    clusters.add([_failure("t/f", 1_000_000)])
    client.indices.put_settings(index=failures_index, settings={block: True})
    with pytest.raises(Unavailable):
        clusters.flush()
    client.indices.put_settings(index=failures_index, settings={block: None})
    clusters.flush()
    assert client.exists(index=failures_index, id="t/f")


def test_clusters_that_are_written_are_forgotten_in_the_end_and_still_merged(
    client: Client, failures_index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters_module, "_REMEMBERED", 1)
    clusters = FailureClusters(client, interval=0)
    clusters.add([_failure("t/f", 1_000_000), _failure("t/g", 1_000_000)])
    clusters.flush()
    clusters.add([_failure("t/f", 2_000_000)])
    clusters.flush()
    stored = client.get(index=failures_index, id="t/f")["_source"]
    assert (stored[semconv.FIRST_SEEN], stored[semconv.LAST_SEEN]) == (moment(1_000_000), moment(2_000_000))
