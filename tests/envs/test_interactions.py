from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from envs.catalogue import PAPER
from envs.interactions import InteractionTable

Triple = tuple[int, int, int]

# Few signatures meet the dense way of counting, many the sorting one.
few = st.tuples(st.integers(0, 3), st.integers(0, 14), st.integers(0, 7))
many = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 14), st.integers(0, 7))
transitions = st.lists(few, max_size=400) | st.lists(many | few, max_size=60)


def columns(triples: list[Triple]) -> tuple[list[int], list[int], list[int]]:
    signature, action, actual = zip(*triples, strict=True) if triples else ((), (), ())
    return list(signature), list(action), list(actual)


def rows(table: InteractionTable) -> list[tuple[Triple, int]]:
    triples = zip(table.context.tolist(), table.action.tolist(), table.actual.tolist(), strict=True)
    return list(zip(triples, table.count.tolist(), strict=True))


@given(transitions)
def test_tally_counts_each_triple_and_sorts_them(triples: list[Triple]) -> None:
    table = InteractionTable.tally(*columns(triples))

    assert rows(table) == sorted(Counter(triples).items())
    assert table.flows == len(triples)


@given(st.dictionaries(many | few, st.integers(1, 10**12), max_size=40))
def test_tally_with_counts_is_the_table_of_those_counts(counted: dict[Triple, int]) -> None:
    table = InteractionTable.tally(*columns(list(counted)), list(counted.values()))

    assert rows(table) == sorted(counted.items())


@given(transitions, st.lists(st.integers(0, 400), max_size=5), st.randoms(use_true_random=False))
def test_total_of_any_split_in_any_order_is_the_tally(
    triples: list[Triple], cuts: list[int], random: Random
) -> None:
    places = [0, *sorted(min(cut, len(triples)) for cut in cuts), len(triples)]
    parts = [triples[a:b] for a, b in pairwise(places)]
    random.shuffle(parts)

    total = InteractionTable.total(InteractionTable.tally(*columns(part)) for part in parts)

    assert total == InteractionTable.tally(*columns(triples))


def test_total_is_exact_above_two_to_the_53() -> None:
    large = InteractionTable.tally([3], [1], [2], [2**53])
    one = InteractionTable.tally([3], [1], [2], [1])

    total = InteractionTable.total([large, one, one, one])

    assert total.count.tolist() == [2**53 + 3]
    assert total.flows == 2**53 + 3


def test_column_types_are_as_documented_also_when_nothing_happened() -> None:
    for table in (
        InteractionTable.empty(),
        InteractionTable.tally([], [], []),
        InteractionTable.total([]),
        InteractionTable.tally([5], [14], [7]),
    ):
        assert table.context.dtype == np.int32
        assert table.action.dtype == np.int16
        assert table.actual.dtype == np.int8
        assert table.count.dtype == np.int64


def test_nothing_is_the_neutral_element() -> None:
    table = InteractionTable.tally([5, 5], [1, 1], [0, 2])
    nothing = InteractionTable.empty()

    assert len(nothing) == 0
    assert nothing.flows == 0
    assert InteractionTable.total([nothing, table, nothing]) == table
    assert InteractionTable.total([nothing, nothing]) == nothing


def test_tables_that_differ_in_any_column_are_unequal() -> None:
    table = InteractionTable.tally([1], [1], [1], [1])

    assert table == InteractionTable.tally([1], [1], [1], [1])
    assert table != InteractionTable.tally([2], [1], [1], [1])
    assert table != InteractionTable.tally([1], [2], [1], [1])
    assert table != InteractionTable.tally([1], [1], [2], [1])
    assert table != InteractionTable.tally([1], [1], [1], [2])
    assert table != "a table"


def test_rewards_are_those_of_the_actual_class() -> None:
    dos, benign = PAPER.class_index("DoS"), PAPER.class_index("Benign")
    first_filter_then_nothing = [0, 14, 0, 14]

    table = InteractionTable.tally(
        [0, 1, 2, 3], first_filter_then_nothing, [dos, dos, benign, benign]
    )

    assert table.rewards(PAPER).tolist() == [5, -5, -5, 5]
