import logging

import pytest

from celeryscope.logs.levels import Levels

LEVELS = Levels("INFO", ["celery=WARNING", "celery.task=DEBUG", "shop.noisy = error"], exclude=["shop.audit"])


@pytest.mark.parametrize(
    ("logger", "lowest"),
    [
        ("shop", logging.INFO),
        ("celery", logging.WARNING),
        ("celery.worker.strategy", logging.WARNING),
        ("celery.task", logging.DEBUG),
        ("celery.task.shop", logging.DEBUG),
        ("celerybeat", logging.INFO),
        ("shop.noisy.part", logging.ERROR),
        ("shop.noisy_neighbour", logging.INFO),
        ("root", logging.INFO),
        ("", logging.INFO),
    ],
)
def test_the_nearest_setting_counts(logger: str, lowest: int) -> None:
    assert LEVELS.of(logger) == lowest


@pytest.mark.parametrize(
    "logger", ["shop.audit", "shop.audit.deep", "celeryscope", "celeryscope.spool", "opentelemetry.sdk"]
)
def test_what_is_excluded_and_what_is_about_us_is_never_sent(logger: str) -> None:
    assert LEVELS.of(logger) > logging.CRITICAL


def test_an_application_whose_name_begins_like_ours_is_sent() -> None:
    assert LEVELS.of("celeryscope_demo.tasks") == logging.INFO


def test_the_lowest_of_all_levels_is_known_so_that_nothing_below_is_looked_at() -> None:
    assert LEVELS.lowest == logging.DEBUG
    assert Levels("ERROR").lowest == logging.ERROR
