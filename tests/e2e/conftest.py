"""One stack on which the shop's load has run to its end; the tests only look at what is left."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from demo.documents import Documents, documents
from demo.outcome import Attempt
from demo.stack import Stack
from shop.expected import Expected


@dataclass(frozen=True)
class Finished:
    """The load that has run, all documents of its attempts, and the account after the shop was stopped."""

    expected: list[Expected]
    attempts: list[Attempt]
    documents: Documents
    spool: dict[str, Any]
    audit: dict[str, Any]
    elasticsearch: str
    """Where all of it is."""

    def of(self, scenario: str) -> list[Expected]:
        return [item for item in self.expected if item.scenario == scenario]

    def attempts_of(self, *root_ids: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.root_id in root_ids]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start()
        expected = stack.publish()
        stack.wait_for(expected)
        stack.product("status", "--record")
        stack.stop_shop()
        spool = stack.spool_status()
        audit = json.loads(stack.product("audit", "--json", "--wait", "120", "--written", str(spool["shipped"])))
        with documents(stack.elasticsearch.url, stack.tenant) as reader:
            yield Finished(expected, reader.all_attempts(), reader, spool, audit, stack.elasticsearch.url)
    finally:
        stack.stop()
