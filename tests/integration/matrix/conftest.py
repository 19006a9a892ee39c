"""What all workers and publishers of the matrix have in common."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def patience_at_the_end() -> Iterator[None]:
    """A process that ends ships all it has, however slow the machine is: tests look at what has come by then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERYSCOPE_FLUSH_TIMEOUT", "60")
        yield
