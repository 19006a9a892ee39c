"""A world of its own for each test, on the shared Elasticsearch with the product's templates."""

from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch as Client

from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope_pipelines.provisioning import Plan
from celeryscope_pipelines.provisioning.indices import provision_indices
from pipelines.watcher.world import World
from servers import Elasticsearch
from support.search import client_of


@pytest.fixture(scope="session")
def client(elasticsearch: Elasticsearch) -> Iterator[Client]:
    list(provision_indices(ElasticsearchSettings(url=elasticsearch.url), Plan()))
    with client_of(elasticsearch.url) as connected:
        yield connected


@pytest.fixture
def world(client: Client) -> World:
    return World(client)
