import pytest

from celeryscope_pipelines.clusters.releases import is_later

COMMITS = ["4f2a9c1e", "a0b1c2d3"]


@pytest.mark.parametrize(
    ("release", "old", "remedy", "later"),
    [
        # A remedy that was named: from that release on.
        ("1.4.2", ["1.4.1"], "1.4.2", True),
        ("1.4.3", ["1.4.1"], "1.4.2", True),
        ("1.10.0", ["1.4.1"], "1.9.9", True),
        ("1.4.1", ["1.4.1"], "1.4.2", False),
        ("1.4.1.7", [], "1.4.2", False),
        ("v1.4.2", [], "1.4.2rc1", True),
        ("1.4.2rc1", [], "1.4.2", False),
        ("1.4.2+build.9", [], "1.4.3", False),
        ("shop-2.0", ["shop-1.9"], "shop-2.0", True),
        ("2026.11.22", ["2026.11.20"], "2026.11.21", True),
        # The remedy runs already when somebody looks.
        ("1.4.2", ["1.4.1", "1.4.2"], "1.4.2", True),
        ("1.4.3", ["1.4.3"], "1.4.2", True),
        # No remedy was named: later than all that ran.
        ("1.4.1", ["1.4.0", "1.4.1"], None, False),
        ("1.4.2", ["1.4.0", "1.4.1"], None, True),
        ("1.3.9", ["1.4.0", "1.4.1"], None, False),
        # Commits have no order.
        (COMMITS[0], COMMITS, None, False),
        ("00ff11ee", COMMITS, None, True),
        ("1234567a", ["2345678"], None, True),
        (COMMITS[0], COMMITS, COMMITS[0], True),
        (COMMITS[1], COMMITS, COMMITS[0], False),
        ("00ff11ee", COMMITS, COMMITS[0], True),
        # Nothing was known then.
        ("1.0", [], None, True),
        ("blue", ["green"], None, True),
    ],
)
def test_a_release_is_later_by_its_number_or_by_not_having_run(
    release: str, old: list[str], remedy: str | None, later: bool
) -> None:
    assert is_later(release, old, remedy) is later


def test_a_release_of_any_length_is_a_name() -> None:
    assert is_later("9" * 5000, ["1.0"], None)
    assert not is_later("9" * 5000, ["9" * 5000], None)
