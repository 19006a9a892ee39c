"""Clients of Elasticsearch that wait: how long it takes is what none of their tests is about."""

from typing import Any

from elasticsearch import Elasticsearch as Client

_PATIENCE = 300.0


def client_of(url: str, **options: Any) -> Client:
    """A client for a server of the tests, which may be busy with mappings for a minute on a busy machine."""
    return Client(url, request_timeout=_PATIENCE, **options)
