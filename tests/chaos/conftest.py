"""One stack for the tests that kill its processes; each test leaves all processes running."""

from collections.abc import Iterator

import pytest

from demo.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("chaos"))
    # Long enough for every task of the shop, short enough to wait for in a test.
    stack.settings["SHOP_VISIBILITY_TIMEOUT"] = "10"
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
