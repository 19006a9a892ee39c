from hypothesis import given
from hypothesis import strategies as st

from celeryscope_pipelines.clusters.heads import head_of, members

names = st.sampled_from("abcdefgh")


def test_members_of_members_belong_to_the_last_one() -> None:
    pointers = {"a": "b", "b": "c", "d": "c"}
    assert members(pointers, "abcd") == {"c": ["a", "b", "d"]}


def test_two_that_were_merged_into_each_other_have_one_head() -> None:
    pointers = {"a": "b", "b": "a", "c": "b"}
    assert [head_of(name, pointers) for name in "abc"] == ["a", "a", "a"]
    assert members(pointers, "abc") == {"a": ["b", "c"]}


def test_a_pointer_to_what_was_deleted_counts_for_nothing() -> None:
    assert members({"a": "gone"}, "a") == {}


@given(st.dictionaries(names, names))
def test_every_cluster_has_one_head_which_is_its_own(pointers: dict[str, str]) -> None:
    for name in "abcdefgh":
        head = head_of(name, pointers)
        assert head_of(head, pointers) == head
        if name in pointers:
            assert head_of(pointers[name], pointers) == head
