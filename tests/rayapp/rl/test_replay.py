"""Memory of past interactions."""

from __future__ import annotations

import copy

import numpy as np

from envs import InteractionTable
from rayapp.rl.replay import TableReplay


def table(seed: int) -> InteractionTable:
    rng = np.random.default_rng(seed)
    return InteractionTable.tally(*(rng.integers(0, 3, 50) for _ in range(3)))


def test_it_forgets_the_oldest_table_beyond_its_capacity() -> None:
    replay = TableReplay(2)
    for seed in range(3):
        replay.add(table(seed))

    assert len(replay) == 2
    assert replay.total() == InteractionTable.total([table(1), table(2)])


def test_rows_that_tables_share_are_one_row() -> None:
    replay = TableReplay(2)
    replay.add(table(0))
    replay.add(table(0))

    assert len(replay.total()) == len(table(0))
    assert replay.total().flows == 100


def test_a_restored_memory_forgets_in_the_same_order() -> None:
    whole, restored = TableReplay(2), TableReplay(2)
    whole.add(table(0))
    whole.add(table(1))
    restored.set_state(copy.deepcopy(whole.get_state()))

    for replay in (whole, restored):
        replay.add(table(2))
    assert restored.total() == whole.total()
    assert restored.total().count.dtype == np.int64
