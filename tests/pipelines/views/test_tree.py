from hypothesis import given
from hypothesis import strategies as st

from celeryscope_pipelines.views.attempts import Attempt
from celeryscope_pipelines.views.tree import Node, Relation, arrange
from pipelines.views.building import attempt, chain


def outline(attempts: list[Attempt]) -> list[str]:
    """The nodes as lines, indented by depth; planned steps in brackets."""
    return ["  " * node.depth + _label(node) for node in arrange(attempts)]


def _label(node: Node) -> str:
    return node.task_id if node.attempts else f"({node.task_id})"


def test_tasks_that_a_task_called_are_indented_below_it_in_the_order_they_were_sent() -> None:
    assert outline(
        [
            attempt("late", parent_id="root", sent=3),
            attempt("grandchild", parent_id="early", sent=2),
            attempt("root"),
            attempt("early", parent_id="root", sent=1),
        ]
    ) == ["root", "  early", "    grandchild", "  late"]


def test_the_steps_of_a_chain_stand_beside_each_other_though_each_is_the_parent_of_the_next() -> None:
    assert outline(
        [
            attempt("root", chain=chain("pay", "ship")),
            attempt("pay", parent_id="root", sent=1, chain=chain("ship")),
            attempt("ship", parent_id="pay", sent=2),
        ]
    ) == ["root", "pay", "ship"]


def test_what_a_step_called_itself_stands_below_it_and_before_the_next_step() -> None:
    assert outline(
        [
            attempt("root", chain=chain("ship")),
            attempt("ship", parent_id="root", sent=1),
            attempt("log", parent_id="root", sent=2),
        ]
    ) == ["root", "  log", "ship"]


def test_steps_that_were_never_sent_stand_in_their_place() -> None:
    assert outline(
        [
            attempt("root", chain=chain("pay", "ship", "mail")),
            attempt("pay", parent_id="root", state="FAILURE", sent=1, chain=chain("ship", "mail")),
            attempt("page", parent_id="pay", sent=2),
        ]
    ) == ["root", "pay", "  page", "(ship)", "(mail)"]


def test_the_body_of_a_chord_follows_its_header_whoever_published_it() -> None:
    header = {"parent_id": "root", "chord_id": "sum", "chord_name": "shop.sum", "group_id": "g"}
    assert outline(
        [
            attempt("root"),
            attempt("a", sent=1, **header),
            attempt("b", sent=2, **header),
            # Celery: the header task that ends last is the parent of the body.
            attempt("sum", parent_id="a", sent=3),
        ]
    ) == ["root", "  a", "  b", "  sum"]


def test_the_body_of_a_chord_whose_header_failed_is_a_planned_step_that_waits_for_the_whole_header() -> None:
    header = {"chord_id": "sum", "chord_name": "shop.sum"}
    body = arrange([attempt("a", **header), attempt("b", sent=1, state="FAILURE", **header)])[-1]
    assert (body.name, body.relation, body.attempts, body.waits_for) == ("shop.sum", Relation.CHORD, (), ("a", "b"))


def test_a_chain_in_the_header_of_a_chord_keeps_its_order() -> None:
    assert outline(
        [
            attempt("root"),
            attempt("first", parent_id="root", sent=1, chain=chain("second")),
            attempt("second", parent_id="first", sent=3, chord_id="sum", chord_name="shop.sum"),
            attempt("other", parent_id="root", sent=2, chord_id="sum", chord_name="shop.sum"),
            attempt("sum", parent_id="second", sent=4),
        ]
    ) == ["root", "  first", "  second", "  other", "  sum"]


GROUP_IN_A_CHAIN = {"chain": chain("a", "b", "sum", "mail"), "chain_after": ((0,), (0,), (1, 2), (3,))}
HEADER = {"parent_id": "root", "group_id": "group", "chord_id": "sum", "chord_name": "shop.sum"}


def test_a_group_that_is_a_step_of_a_chain_is_planned_member_by_member() -> None:
    nodes = arrange([attempt("root", state="FAILURE", **GROUP_IN_A_CHAIN)])
    assert [(node.task_id, node.depth, node.attempts) for node in nodes[1:]] == [
        ("a", 0, ()),
        ("b", 0, ()),
        ("sum", 0, ()),
        ("mail", 0, ()),
    ]
    assert [node.waits_for for node in nodes] == [(), ("root",), ("root",), ("a", "b"), ("sum",)]
    assert [node.relation for node in nodes[1:]] == [Relation.CHAIN, Relation.CHAIN, Relation.CHORD, Relation.CHAIN]


def test_a_group_that_was_reached_stands_where_it_was_planned_and_its_body_waits_for_all_of_it() -> None:
    nodes = arrange(
        [
            attempt("root", **GROUP_IN_A_CHAIN),
            attempt("b", sent=1, chain=chain("sum", "mail"), **HEADER),
            attempt("a", sent=2, state="FAILURE", chain=chain("sum", "mail"), **HEADER),
        ]
    )
    assert [(node.task_id, bool(node.attempts), node.depth) for node in nodes] == [
        ("root", True, 0),
        ("b", True, 0),
        ("a", True, 0),
        ("sum", False, 0),
        ("mail", False, 0),
    ]
    assert nodes[3].waits_for == ("a", "b")


def test_a_chain_in_a_planned_group_keeps_its_order() -> None:
    steps = {"chain": chain("a", "a2", "b", "sum"), "chain_after": ((0,), (1,), (0,), (2, 3))}
    assert outline([attempt("root", **steps)]) == ["root", "(a)", "(a2)", "(b)", "(sum)"]


def test_the_members_of_a_large_group_that_were_not_planned_by_name_stand_with_the_others() -> None:
    steps = {
        "chain": (("a", "shop.a"), ("", "(1 more)"), ("sum", "shop.sum")),
        "chain_after": ((0,), (0,), (1, 2)),
    }
    assert [node.name for node in arrange([attempt("root", state="FAILURE", **steps)])] == [
        "shop.root",
        "shop.a",
        "(1 more)",
        "shop.sum",
    ]
    nodes = arrange(
        [
            attempt("root", **steps),
            attempt("a", sent=1, chain=chain("sum"), **HEADER),
            attempt("b", sent=2, state="FAILURE", chain=chain("sum"), **HEADER),
        ]
    )
    assert [(node.task_id, node.depth) for node in nodes] == [("root", 0), ("a", 0), ("b", 0), ("sum", 0)]
    assert set(nodes[-1].waits_for) == {"root", "a", "b"}


def test_a_callback_without_an_id_is_a_planned_step_until_it_was_sent() -> None:
    steps = {"chain": (("", "shop.log"), ("ship", "shop.ship")), "chain_after": ((0,), (0,))}
    nodes = arrange([attempt("root", state="FAILURE", **steps)])
    assert [(node.name, node.named, node.waits_for) for node in nodes[1:]] == [
        ("shop.log", False, ("root",)),
        ("shop.ship", True, ("root",)),
    ]
    assert outline([attempt("root", **steps), attempt("4711", parent_id="root", sent=1)]) == [
        "root",
        "  4711",
        "(ship)",
    ]


def test_a_callback_that_several_tasks_plan_is_one_step() -> None:
    steps = {"chain": (("sum", "shop.sum"), ("", "shop.log")), **HEADER}
    names = [node.name for node in arrange([attempt("a", **steps), attempt("b", sent=1, state="FAILURE", **steps)])]
    assert names == ["shop.a", "shop.b", "shop.sum", "shop.log"]


def test_the_attempts_of_a_task_are_one_node_in_the_order_of_its_retries() -> None:
    (node,) = arrange(
        [attempt("root", retries=2, sent=9), attempt("root", retries=0), attempt("root", retries=1, sent=4)]
    )
    assert [own.retries for own in node.attempts] == [0, 1, 2]


def test_of_two_snapshots_of_an_attempt_the_later_one_counts() -> None:
    (node,) = arrange([attempt("root", state="SUCCESS", clock=9), attempt("root", state="STARTED", clock=5)])
    assert [own.state for own in node.attempts] == ["SUCCESS"]


def test_a_task_whose_parent_is_missing_stands_at_the_top_and_says_so() -> None:
    nodes = arrange([attempt("stray", parent_id="gone"), attempt("root", sent=5)])
    assert [(node.task_id, node.depth, node.relation) for node in nodes] == [
        ("root", 0, Relation.ROOT),
        ("stray", 0, Relation.ORPHAN),
    ]


def test_tasks_that_are_each_others_parents_are_all_shown_once() -> None:
    lines = outline([attempt("a", parent_id="b"), attempt("b", parent_id="a", sent=1), attempt("c", parent_id="c")])
    assert sorted(line.strip() for line in lines) == ["a", "b", "c"]


def test_a_chain_of_two_thousand_steps_and_calls_two_thousand_deep_need_no_recursion() -> None:
    names = [f"s{index}" for index in range(2_000)]
    steps = [attempt("root", chain=chain(*names))]
    steps += [
        attempt(f"c{index}", parent_id=f"c{index - 1}" if index else "root", sent=index) for index in range(2_000)
    ]
    nodes = arrange(steps)
    assert len(nodes) == 4_001
    assert max(node.depth for node in nodes) == 2_000


_ID = st.sampled_from("abcdefg")


@given(
    st.lists(
        st.builds(
            lambda task, parent, group, chord, following, after: attempt(
                task, parent_id=parent, group_id=group, chord_id=chord, chain=chain(*following), chain_after=after
            ),
            _ID,
            st.none() | _ID,
            st.none() | _ID,
            st.none() | _ID,
            st.lists(_ID | st.just(""), max_size=3),
            st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), max_size=3).map(tuple),
        ),
        max_size=8,
    )
)
def test_whatever_the_data_says_every_task_and_every_planned_step_has_one_place(attempts: list[Attempt]) -> None:
    nodes = arrange(attempts)
    places = [node.task_id for node in nodes]
    assert len(places) == len(set(places))
    assert {one.task_id for one in attempts} == {node.task_id for node in nodes if node.attempts}
