"""Ids of deliveries."""

import random

from celeryscope.running import new_delivery


def test_an_application_that_seeds_random_still_gets_distinct_deliveries() -> None:
    found = []
    for _ in range(2):
        random.seed(42)
        found.append(new_delivery())
    assert found[0] != found[1]
    assert all(len(delivery) == 16 and int(delivery, 16) >= 0 for delivery in found)
