"""Real servers, started when the first test of a run needs them and shared by all that follow."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from servers import Elasticsearch, Kafka, RabbitMQ, Redis
from support.browser import headless_chromium

# On a busy machine any example may take longer than Hypothesis' deadline, and the making of the first ones longer than
# it allows (one second), whatever they test.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: a change is refused for what it does, not for an example that nobody had tried before.
# `make properties` looks for those.
settings.register_profile("same", _PATIENT, derandomize=True)
settings.register_profile("exploring", _PATIENT, print_blob=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elasticsearch]:
    with Elasticsearch(tmp_path_factory.mktemp("elasticsearch")) as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with headless_chromium() as browser:
        yield browser
