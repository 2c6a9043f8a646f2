"""Cutting tables and joining counts: nothing is lost, whatever the tables, cuts and order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import BetaPrior, Catalogue, InputError, InteractionTable
from kg_actor import GraphSpec, Keyed, KnowledgeGraph, Lesson, Merged, MergeKey
from kg_actor.encoding import pack_table, unpack_table
from kg_actor.queries import ConfidencePoint
from kg_actor.sharding import (
    Shard,
    joined_spec,
    joined_state,
    owner,
    shards_of,
    split,
    with_all_flows,
)
from kg_actor.store import GraphStore, read

PAPER = Catalogue.named("paper")

PREDICTED = np.array([1, 2, 6, 0, 0, 3, 1], np.int8)
SPEC = GraphSpec("3f8a" * 16, "synthetic", PREDICTED, PAPER, BetaPrior())
FEED = Lesson("DoS", "Audit", -1.5, 40.0, "feed")

rows = st.tuples(st.integers(0, 6), st.integers(0, 14), st.integers(0, 7), st.integers(1, 2**40))
tables = st.lists(rows, max_size=8).map(
    lambda part: InteractionTable.tally(*np.array(part, np.int64).reshape(-1, 4).T)
)
shard_numbers = st.integers(1, len(PREDICTED))


def keyed(*parts: InteractionTable, iteration: int = 0) -> list[Keyed]:
    return [Keyed(MergeKey("run", iteration, i), table) for i, table in enumerate(parts)]


def graphs_of(shards: tuple[Shard, ...]) -> list[KnowledgeGraph]:
    return [shard.spec(SPEC).new_graph() for shard in shards]


@given(st.integers(1, 300), st.integers(1, 300))
def test_ranges_cover_all_signatures_once_and_evenly(signatures: int, number: int) -> None:
    if number > signatures:
        with pytest.raises(InputError, match=r"graph\.shards: .* cannot be cut into"):
            shards_of(signatures, number)
        return

    shards = shards_of(signatures, number)

    ids = [i for shard in shards for i in range(shard.low, shard.high)]
    assert ids == list(range(signatures))
    sizes = {shard.high - shard.low for shard in shards}
    assert max(sizes) - min(sizes) <= 1
    assert all(shard.low <= i < shard.high for i in ids for shard in [owner(i, shards)])


def test_no_shards_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be cut into 0 shards"):
        shards_of(3, 0)


@given(st.lists(tables, min_size=1, max_size=4), shard_numbers)
def test_slices_are_the_table_again(parts: list[InteractionTable], number: int) -> None:
    shards = shards_of(len(PREDICTED), number)

    slices = split(keyed(*parts), SPEC, shards)

    for place, whole in enumerate(keyed(*parts)):
        own = [part[place] for part in slices]
        assert {each.key for each in own} == {whole.key}
        back = [
            replace(each.table, signature=each.table.signature + np.int32(shard.low))
            for each, shard in zip(own, shards, strict=True)
        ]
        assert InteractionTable.total(back) == whole.table
        for shard, each in zip(shards, own, strict=True):
            assert each.table.signature.dtype == np.int32
            assert not len(each.table) or each.table.signature.max() < shard.high - shard.low


@given(st.lists(st.lists(tables, min_size=1, max_size=3), max_size=5), shard_numbers, st.data())
def test_shards_together_are_the_graph_that_is_not_cut(
    merges: list[list[InteractionTable]], number: int, data: st.DataObject
) -> None:
    """Each shard is sent its slices in an order of its own, some of them twice."""
    whole, shards = SPEC.new_graph(), shards_of(len(PREDICTED), number)
    cut = [split(keyed(*parts, iteration=i), SPEC, shards) for i, parts in enumerate(merges)]
    for i, parts in enumerate(merges):
        whole.merge_all(keyed(*parts, iteration=i))
    whole.teach([FEED])
    graphs = graphs_of(shards)
    for graph, slices in zip(graphs, zip(*cut, strict=True), strict=False):
        again = data.draw(st.lists(st.sampled_from(slices), max_size=3))
        for each in data.draw(st.permutations([*slices, *again])):
            graph.merge_all(each)
    for graph in graphs:
        graph.teach([FEED])
        graph.teach([FEED])

    joined = joined_state([graph.state() for graph in graphs])

    assert joined.counts.equals(whole.counts())
    assert joined.counts.version == whole.version
    assert joined.lessons == (FEED,)
    assert joined.merged.keys() == whole.merged.keys()
    flows = {key: one.flows for key, one in whole.merged.items()}
    assert {key: one.flows for key, one in joined.merged.items()} == flows
    taught, expected = joined.counts.taught, whole.counts().taught
    assert taught is not None
    assert expected is not None
    assert np.array_equal(taught.weight, expected.weight)
    again_whole = joined_spec([shard.spec(SPEC) for shard in shards]).new_graph()
    again_whole.restore(joined)
    assert again_whole.counts().equals(whole.counts())


@given(st.lists(tables, min_size=1, max_size=4), shard_numbers)
def test_in_step_even_the_versions_are_those_of_the_graph_that_is_not_cut(
    parts: list[InteractionTable], number: int
) -> None:
    whole, shards = SPEC.new_graph(), shards_of(len(PREDICTED), number)
    graphs = graphs_of(shards)
    for i, part in enumerate(parts):
        whole.merge_all(keyed(part, iteration=i))
        for graph, own in zip(graphs, split(keyed(part, iteration=i), SPEC, shards), strict=True):
            graph.merge_all(own)

    joined = joined_state([graph.state() for graph in graphs])

    assert {graph.version for graph in graphs} == {whole.version}
    assert np.array_equal(joined.changes.signature, whole.changes().signature)
    assert np.array_equal(joined.changes.traffic, whole.changes().traffic)
    versions = {key: (one.version, one.flows) for key, one in whole.merged.items()}
    assert {key: (one.version, one.flows) for key, one in joined.merged.items()} == versions
    assert joined.equals(whole.state()) == (number == 1)  # digests are made of slices' digests


def test_a_table_that_does_not_fit_is_cut_for_nobody() -> None:
    good, bad = InteractionTable.tally([0], [0], [0]), InteractionTable.tally([7], [0], [0])

    with pytest.raises(ValueError, match=r"signature must be in 0 \.\. 6"):
        split(keyed(good, bad), SPEC, shards_of(7, 2))


def test_shards_of_other_merges_are_not_joined() -> None:
    graphs = graphs_of(shards_of(7, 2))
    graphs[0].merge_all(keyed(InteractionTable.empty()))

    with pytest.raises(ValueError, match="merged different tables"):
        joined_state([graph.state() for graph in graphs])


def test_an_empty_slice_is_merged_as_durably_as_any_other(tmp_path: Path) -> None:
    empty = InteractionTable.empty()
    assert unpack_table(pack_table(empty), 0) == empty
    opened = GraphStore.open(tmp_path, SPEC)
    for iteration in range(2):
        opened.merge(keyed(empty, empty, iteration=iteration))
    opened.merge(keyed(empty, iteration=1))
    before = opened.state()
    opened.close()

    graph, _ = read(tmp_path)

    assert graph.state().equals(before)
    assert (graph.version, len(graph.merged)) == (2, 4)
    with pytest.raises(ValueError, match="merged with other content"):
        graph.merge_all(keyed(InteractionTable.tally([0], [0], [0])))


def test_a_history_counts_the_flows_of_all_shards() -> None:
    points = [ConfidencePoint(version, 1, 1, 1, 0.5) for version in (1, 3)]
    merged = [Merged(version, 10**version, b"") for version in (3, 1, 2, 4)]

    assert [one.flows for one in with_all_flows(points, merged)] == [10, 1110]
    assert with_all_flows([], merged) == []


@pytest.mark.parametrize("name", ["2-of-2", "0-of-0", "1-of-2/..", "a-of-b", "-1-of-2", 7, [1]])
def test_a_file_names_a_shard_or_none(name: object) -> None:
    shard = shards_of(7, 2)[1].spec(SPEC)
    assert GraphSpec.from_json(shard.to_json()).shard == "1-of-2"
    assert "shard" not in SPEC.to_json()

    with pytest.raises((ValueError, TypeError)):
        GraphSpec.from_json({**SPEC.to_json(), "shard": name})
