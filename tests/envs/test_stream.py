from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.stream import FlowStream

flows = st.integers(1, 60)
seeds = st.integers(0, 2**31)


@given(flows, seeds, st.integers(0, 5))
def test_each_pass_holds_every_flow_exactly_once(flows: int, seed: int, number: int) -> None:
    stream = FlowStream(flows, seed)

    taken = stream.take(number * flows, flows)

    assert sorted(taken.tolist()) == list(range(flows))


@given(flows, seeds, st.integers(0, 200), st.lists(st.integers(0, 80), max_size=6))
def test_any_partition_of_a_stretch_is_the_stretch(
    flows: int, seed: int, start: int, lengths: list[int]
) -> None:
    whole = FlowStream(flows, seed).take(start, sum(lengths))

    stream, place, parts = FlowStream(flows, seed), start, []
    for length in lengths:
        parts += stream.take(place, length).tolist()
        place += length

    assert whole.tolist() == parts


@given(flows, seeds, st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_a_place_holds_the_same_flow_whatever_was_asked_before(
    flows: int, seed: int, places: list[int]
) -> None:
    stream = FlowStream(flows, seed)

    asked = [int(stream.take(place, 1)[0]) for place in places]

    assert asked == [int(FlowStream(flows, seed).take(place, 1)[0]) for place in places]


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 6), seeds)
def test_workers_share_a_pass_without_overlap(
    workers: int, fragment: int, rounds: int, seed: int
) -> None:
    flows = workers * fragment * rounds
    streams = [FlowStream(flows, seed) for _ in range(workers)]

    taken = [
        flow
        for turn in range(rounds)
        for worker, stream in enumerate(streams)
        for flow in stream.take((turn * workers + worker) * fragment, fragment).tolist()
    ]

    assert sorted(taken) == list(range(flows))


def test_same_seed_gives_the_same_sequence() -> None:
    first, second = FlowStream(100, seed=7), FlowStream(100, seed=7)

    assert np.array_equal(first.take(0, 250), second.take(0, 250))


def test_other_seeds_and_other_passes_give_other_orders() -> None:
    first = FlowStream(100, seed=7)
    other = FlowStream(100, seed=8)

    orders = [
        tuple(stream.take(start, 100)) for stream in (first, other) for start in (0, 100, 200)
    ]

    assert len(set(orders)) == 6


def test_flow_indices_are_int32_even_when_none_are_taken() -> None:
    stream = FlowStream(3, seed=0)

    assert stream.take(0, 2).dtype == np.int32
    assert stream.take(2, 5).dtype == np.int32
    assert stream.take(1, 0).shape == (0,)
    assert stream.take(1, 0).dtype == np.int32


def test_stream_without_flows_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one flow"):
        FlowStream(0, seed=0)
