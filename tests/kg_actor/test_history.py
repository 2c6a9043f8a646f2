from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs import BetaPrior, Catalogue, InteractionTable
from kg_actor import GraphSpec, Keyed, MergeKey, store
from kg_actor.history import confidence_of
from kg_actor.store import GraphStore

PAPER = Catalogue.named("paper")

SPEC = GraphSpec("3f8a" * 16, "synthetic", np.array([1, 2, 6], np.int8), PAPER, BetaPrior())


def filled(folder: Path, merges: int, spec: GraphSpec = SPEC) -> Path:
    """Signature 0 meets a right flow at every merge, and a wrong one at every third."""
    opened = GraphStore.open(folder, spec)
    for number in range(merges):
        actual = [1, 2] if number % 3 == 2 else [1]
        table = InteractionTable.tally([0] * len(actual), [0] * len(actual), actual)
        opened.merge([Keyed(MergeKey("run", number, 0), table)])
    opened.close()
    return folder


def test_confidence_moves_with_every_flow(tmp_path: Path) -> None:
    points = confidence_of(filled(tmp_path, 4), 0)

    assert [point.version for point in points] == [1, 2, 3, 4]
    assert [point.seen for point in points] == [1, 2, 4, 5]
    assert [point.correct for point in points] == [1, 2, 3, 4]
    assert [point.confidence for point in points] == [2 / 3, 3 / 4, 4 / 6, 5 / 7]


def test_what_was_folded_is_told_base_by_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = confidence_of(filled(tmp_path / "whole", 20), 0)
    monkeypatch.setattr(store, "BASE_EVERY", 4)
    monkeypatch.setattr(store, "KEEP", 8)

    points = confidence_of(filled(tmp_path / "folded", 20), 0)

    # Versions up to 12 are folded into bases at 4, 8 and 12.
    assert points == [whole[i - 1] for i in (4, 8, *range(12, 21))]


def test_with_forgetting_the_history_ends_where_the_graph_is(tmp_path: Path) -> None:
    forgetful = replace(SPEC, half_life=3.0)
    graph, _ = store.read(filled(tmp_path, 10, forgetful))
    evidence = graph.counts().signature_evidence[0]

    last = confidence_of(tmp_path, 0)[-1]

    assert last.confidence == pytest.approx((1 + evidence[1]) / (2 + evidence.sum()))


def test_a_signature_without_flows_has_no_history(tmp_path: Path) -> None:
    assert confidence_of(filled(tmp_path, 2), 1) == []


def test_an_unknown_signature_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="no signature 3"):
        confidence_of(filled(tmp_path, 1), 3)
