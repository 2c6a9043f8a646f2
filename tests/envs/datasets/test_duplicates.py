"""Flows that are there twice are counted, and can be left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs import Catalogue, FeatureSchema, Flows, InputError, Scenario
from envs.datasets.cicids2017 import FORM
from envs.datasets.duplicates import Duplicates, equal_files, row_hashes
from envs.datasets.source import Reading
from envs.datasets.tables.source import TableSource
from envs.division import Wishes, divide
from envs.flows import Provenance
from tests.genuine import TRAFFIC

PAPER = Catalogue.named("paper")


def flows_of(features: NDArray[np.float32], actual: NDArray[np.int8]) -> Flows:
    provenance = Provenance("mynet", {}, rows_read=len(actual))
    return Flows(features, actual, provenance, PAPER, FeatureSchema.unnamed(features.shape[1]))


@given(
    rows=st.lists(st.integers(0, 40), max_size=80),
    width=st.integers(1, 5),
    cut=st.integers(0, 80),
)
def test_the_first_of_each_kind_is_found_however_flows_are_read(
    rows: list[int], width: int, cut: int
) -> None:
    numbers = np.array(rows, np.int64)
    actual = (numbers % 3).astype(np.int8)
    features = np.repeat(numbers[:, None] // 3, width, axis=1).astype(np.float32)

    whole = row_hashes(features, actual)
    parts = [row_hashes(features[part], actual[part]) for part in (slice(cut), slice(cut, None))]

    assert np.array_equal(whole, np.concatenate(parts))
    expected = sorted(rows.index(row) for row in set(rows))
    assert Duplicates(whole).kept().tolist() == expected


@pytest.mark.parametrize("width", [1, 2, 78, 79])
def test_rows_that_differ_in_little_have_other_hashes(width: int) -> None:
    rng = np.random.default_rng(width)
    base = rng.integers(-1, 2, width).astype(np.float32)
    rows = [base]
    for column in range(width):
        for value in (-2.0, 2.0, np.nextafter(base[column], np.float32(9)), 1e-45, 3e38, -3e38):
            rows.append(base.copy())
            rows[-1][column] = value
    # Signs of two columns at once, and two columns that change places.
    for one in range(width - 1):
        rows.append(base + 3)
        rows[-1][[one, one + 1]] *= -1
        rows.append(np.arange(10, 10 + width, dtype=np.float32))
        rows[-1][[one, one + 1]] = rows[-1][[one + 1, one]]
    features = np.unique(np.array(rows, np.float32), axis=0)
    several = np.repeat(features, 3, axis=0)
    classes = np.tile(np.array([0, 1, 126], np.int8), len(features))

    hashes = row_hashes(several, classes)

    assert len(np.unique(hashes)) == len(several)
    for half in (hashes >> np.uint64(32), hashes & np.uint64(2**32 - 1)):
        assert len(np.unique(half)) > 0.999 * len(several)


def test_hashes_are_the_same_on_all_machines_and_zero_has_one_sign() -> None:
    features = np.array([[0.0, 1.5, -3.0], [-0.0, 1.5, -3.0]], np.float32)

    hashes = row_hashes(features, np.array([2, 2], np.int8))

    assert [f"{number:016x}" for number in hashes.tolist()] == ["842f478c3c36dece"] * 2


def test_duplicates_across_train_and_test_are_counted() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    features = np.concatenate([features, features[:30], features[:10]])
    actual = (np.arange(60) % 2).astype(np.int8)
    actual = np.concatenate([actual, actual[:30], 1 - actual[:10]])
    kinds = np.concatenate([np.arange(60), np.arange(30), 100 + np.arange(10)])
    division = divide(actual, Wishes(honest=0.5), PAPER)
    learnt = {*kinds[division.train], *kinds[division.fit_from]}

    found = Duplicates(row_hashes(features, actual))

    # Equal features of another class are another flow.
    assert found.counted(division) == {
        "rows": 30,
        "removed": 0,
        "test_rows_in_train": sum(kind in learnt for kind in kinds[division.test]),
    }
    without = divide(actual, Wishes(), PAPER, rows=found.kept())
    assert found.counted(without) == {"rows": 30, "removed": 30, "test_rows_in_train": 0}
    assert sorted([*without.train, *without.test]) == found.kept().tolist()


def test_a_scenario_without_duplicates_is_that_of_the_flows_without_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    actual = rng.integers(0, 3, 120).astype(np.int8)
    features = rng.normal(actual[:, None], 2, (120, 4)).astype(np.float32)
    twice = rng.permutation(np.concatenate([np.arange(120), np.arange(80)]))
    _, first = np.unique(twice, return_index=True)
    once = twice[np.sort(first)]

    left_out = Scenario.prepare(
        flows_of(features[twice], actual[twice]), tmp_path / "a", deduplicate=True
    )
    plain = Scenario.prepare(flows_of(features[once], actual[once]), tmp_path / "b")
    whole = Scenario.prepare(flows_of(features[twice], actual[twice]), tmp_path / "c")

    assert left_out.fingerprint == plain.fingerprint != whole.fingerprint
    assert left_out.manifest["classes"] == plain.manifest["classes"]
    assert plain.manifest["duplicates"] == {"rows": 0, "removed": 0, "test_rows_in_train": 0}
    assert left_out.manifest["duplicates"] == {"rows": 80, "removed": 80, "test_rows_in_train": 0}
    assert whole.manifest["duplicates"]["rows"] == 80
    assert 0 < whole.manifest["duplicates"]["test_rows_in_train"] < 60


def test_too_few_flows_without_duplicates_are_refused_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    actual = np.repeat(np.array([0, 1], np.int8), 50)
    flows = flows_of(np.ones((100, 2), np.float32), actual)

    with pytest.raises(InputError, match="has only one flow"):
        Scenario.prepare(flows, tmp_path / "scenario", deduplicate=True)

    assert not (tmp_path / "scenario").exists()


def test_files_of_equal_content_are_found_by_content(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c", "d", "e")]
    for file, content in zip(files, ["one", "two", "one", "longer", "one"], strict=True):
        file.write_text(content)

    assert equal_files(files) == [(files[0], files[2], files[4])]
    assert equal_files(files[:2]) == []


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason="the genuine files are not here")
def test_a_genuine_day_under_two_names_is_told() -> None:
    names = [TRAFFIC / "9-cicids2017" / f"dube-{name}.csv.gz" for name in ("tu1", "w1")]

    source = TableSource(FORM, names, Reading.labelled(PAPER))
    flows = source.read()

    assert [remark for remark in source.remarks if "the same bytes" in remark] == [
        f"{names[0]} and {names[1]} hold the same bytes, so each of their flows counts 2 times"
    ]
    kinds = {row.tobytes() for row in flows.features + np.float32(0)}
    duplicates = Duplicates(row_hashes(flows.features, flows.actual))
    assert len(duplicates.kept()) == len(kinds) <= len(flows) // 2
