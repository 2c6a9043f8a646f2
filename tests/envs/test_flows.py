from __future__ import annotations

import numpy as np
import pytest

from envs.catalogue import Catalogue
from envs.errors import InputError
from envs.flows import Column, FeatureSchema, Flows, Provenance, is_synthetic

PAPER = Catalogue.named("paper")


@pytest.mark.parametrize("kind", ["mynet", "unsw-nb15", "cic_ids.2018", "7"])
def test_a_kind_may_have_any_name_that_is_one(kind: str) -> None:
    assert Provenance(kind, {}, 0).kind == kind


@pytest.mark.parametrize("kind", ["", "My net", "a/b", "-a", "a\n", "x" * 65, "ä"])
def test_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match="no name for a kind of data set"):
        Provenance(kind, {}, 0)


def test_synthetic_flows_say_so_in_the_name_of_their_kind() -> None:
    assert Provenance("mynet-synthetic", {}, 0, synthetic=True).synthetic
    with pytest.raises(InputError, match=r"'mynet' does not say .* such as mynet-synthetic"):
        Provenance("mynet", {}, 0, synthetic=True)


def test_manifests_of_old_say_by_their_kind_whether_flows_are_synthetic() -> None:
    assert is_synthetic({"kind": "synthetic"})
    assert not is_synthetic({"kind": "cicids2017"})
    assert not is_synthetic({"kind": "synthetic-fibres", "synthetic": False})


def test_flows_know_their_features() -> None:
    rows, classes = np.zeros((3, 2), np.float32), np.zeros(3, np.int8)
    schema = FeatureSchema("a meter", (Column("duration", "s"), Column("bytes", "bytes")))

    assert Flows(rows, classes, Provenance("a", {}, 3), PAPER, schema).schema is schema
    unnamed = Flows(rows, classes, Provenance("a", {}, 3), PAPER).schema
    assert unnamed.names == ("feature 0", "feature 1")
    assert FeatureSchema.from_json(schema.to_json()) == schema
    with pytest.raises(InputError, match="the flows have 2 features, and their schema names 1"):
        Flows(rows, classes, Provenance("a", {}, 3), PAPER, FeatureSchema.unnamed(1))
