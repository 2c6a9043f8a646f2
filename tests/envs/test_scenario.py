from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.catalogue import Catalogue
from envs.datasets.cicflowmeter import SCHEMA
from envs.division import split
from envs.errors import InputError
from envs.flows import Flows, Provenance
from envs.matching import DRAWS
from envs.scenario import Scenario
from envs.state import FlowSet

PAPER = Catalogue.named("paper")
FEATURES = SCHEMA.names

MakeFlows = Callable[..., Flows]

FILES = [
    "detector.safetensors",
    "manifest.json",
    "signatures.parquet",
    "test.parquet",
    "train.parquet",
]

# The published labels' counts once rows without finite features are dropped.
PUBLISHED = {
    "PortScan": 158804,
    "DoS": 230124 + 10293 + 5796 + 5499,
    "Benign": 2271320,
    "DDoS": 128025,
    "SSH-Patator": 5897,
    "FTP-Patator": 7935,
    "Web": 1507 + 652 + 21,
    "Infiltration": 36 + 1956 + 11,
}
TABLE_5_SUPPORT = {
    "PortScan": 47641,
    "DoS": 75514,
    "Benign": 681396,
    "DDoS": 38408,
    "SSH-Patator": 1769,
    "FTP-Patator": 2380,
    "Web": 654,
    "Infiltration": 601,
}


@pytest.mark.parametrize("seed", [0, 20250531])
def test_split_of_the_published_counts_has_the_supports_of_table_5(seed: int) -> None:
    actual = np.repeat(
        np.array([PAPER.class_index(name) for name in PUBLISHED], np.int8), list(PUBLISHED.values())
    )

    train, test = split(actual, seed=seed)

    supports = np.bincount(actual[test], minlength=len(PAPER.classes)).tolist()
    assert dict(zip(PAPER.class_names, supports, strict=True)) == TABLE_5_SUPPORT
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(len(actual)))


def test_split_is_the_seeds_alone() -> None:
    actual = np.repeat(np.array([0, 1], np.int8), [40, 60])

    first, again, other = (split(actual, seed=seed) for seed in (1, 1, 2))

    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(one: Scenario, other: Scenario) -> None:
    assert one.manifest == other.manifest
    assert one.signatures.rule == other.signatures.rule
    pairs = [
        (one.signatures.predicted, other.signatures.predicted),
        (one.signatures.support, other.signatures.support),
        *zip(one.train + one.test, other.train + other.test, strict=True),
        (one.cross_fitted, other.cross_fitted),
    ]
    for mine, theirs in pairs:
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)


def test_what_prepare_wrote_load_reads(scenario: Scenario) -> None:
    loaded = Scenario.load(scenario.path)

    assert_same(loaded, scenario)
    assert loaded.catalogue == PAPER
    assert loaded.kind == "synthetic"
    assert names(scenario.path) == FILES
    assert names(scenario.path.parent) == [scenario.path.name]


def test_manifest_accounts_for_every_flow(scenario: Scenario, flows: Flows) -> None:
    manifest = scenario.manifest

    assert manifest["flows"] == {"train": 210, "test": 90}
    assert {n: c for n, c in manifest["classes"].items() if c} == {
        "DoS": 70,
        "Benign": 200,
        "Web": 30,
    }
    assert manifest["signatures"] == len(scenario.signatures)
    assert manifest["split"] == {"seed": 0, "test_share": 0.3, "honest": None, "cross_fit": 3}
    assert scenario.signatures.support.sum() == 210
    assert sum(row["support"] for row in manifest["detection"].values()) == 90
    assert manifest["source"]["rows_read"] == len(flows)


def test_signatures_are_the_detectors_matches(scenario: Scenario, flows: Flows) -> None:
    train, test = split(flows.actual, seed=0)
    detector = scenario.detector()

    assert np.array_equal(scenario.train[0], detector.match(flows.features[train]))
    assert np.array_equal(scenario.test[0], detector.match(flows.features[test]))
    assert np.array_equal(scenario.train[1], flows.actual[train])
    assert np.array_equal(scenario.test[1], flows.actual[test])


def test_same_flows_and_seed_have_the_same_fingerprint(
    scenario: Scenario, flows: Flows, make_flows: MakeFlows, tmp_path: Path
) -> None:
    again = Scenario.prepare(flows, tmp_path / "again", seed=0)
    reseeded = Scenario.prepare(flows, tmp_path / "reseeded", seed=1)
    others = make_flows({"Benign": 200, "DoS": 70, "Web": 30}, seed=1)
    redrawn = Scenario.prepare(others, tmp_path / "redrawn", seed=0)

    assert again.fingerprint == scenario.fingerprint
    assert len({scenario.fingerprint, reseeded.fingerprint, redrawn.fingerprint}) == 3


def test_fingerprint_names_the_splits_and_not_the_detector_alone(tmp_path: Path) -> None:
    actual = np.repeat(np.array([0, 1], np.int8), 50)
    features = np.zeros((100, len(FEATURES)), np.float32)
    features[:, 0] = actual
    flows = Flows(features, actual, Provenance("mynet", {}, rows_read=100), PAPER, SCHEMA)

    one, other = (Scenario.prepare(flows, tmp_path / str(seed), seed=seed) for seed in (0, 1))

    assert one.detector().digest() == other.detector().digest()
    assert one.fingerprint != other.fingerprint


def test_flow_set_is_one_split_as_the_environment_takes_it(scenario: Scenario) -> None:
    train, test = scenario.flow_set("train"), scenario.flow_set("test")

    assert (len(train), len(test)) == (210, 90)
    assert np.array_equal(test.signature, scenario.test[0])
    assert np.array_equal(test.actual, scenario.test[1])
    assert np.array_equal(test.contexts.predicted, scenario.signatures.predicted)
    assert test.catalogue == PAPER


def test_cross_fitted_flows_are_met_as_matched_and_honestly_by_turns(scenario: Scenario) -> None:
    fitted = scenario.flow_set("train")
    met = scenario.flow_set("train", matching="cross-fitted")

    def wrong(flows: FlowSet) -> float:
        return float(np.mean(flows.contexts.traffic[flows.context] != flows.actual))

    assert len(met) == 2 * DRAWS * len(fitted)
    assert wrong(fitted) == 0 < wrong(met)
    honest = scenario.cross_fitted[:, 0]
    mine = met.signature[:: len(fitted)]
    assert sorted(mine) == sorted([*honest, *[fitted.signature[0]] * DRAWS])
    assert np.array_equal(met.actual[: len(fitted)], fitted.actual)


def test_without_folds_there_is_one_way_to_match(flows: Flows, tmp_path: Path) -> None:
    scenario = Scenario.prepare(flows, tmp_path / "plain", cross_fit=0)

    met = Scenario.load(scenario.path).flow_set("train", matching="cross-fitted")

    assert np.array_equal(met.signature, scenario.train[0])


def test_an_honest_split_keeps_flows_from_the_tree(flows: Flows, tmp_path: Path) -> None:
    scenario = Scenario.prepare(flows, tmp_path / "honest", honest=0.5)

    train = scenario.flow_set("train")

    assert scenario.manifest["flows"] == {"train": 105, "test": 90}
    assert scenario.signatures.support.sum() == 105
    assert np.mean(train.contexts.traffic[train.context] != train.actual) > 0
    assert not len(scenario.cross_fitted)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"honest": 1.5}, "--honest is 1.5. Expected a share between 0 and 1"),
        ({"cross_fit": 1}, "--cross-fit is 1. Expected 2 to 100 folds"),
        ({"honest": 0.001}, "too few training flows to set a share of 0.001 apart"),
    ],
)
def test_impossible_honesty_is_refused(
    flows: Flows, tmp_path: Path, wish: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Scenario.prepare(flows, tmp_path / "refused", **wish)

    assert not (tmp_path / "refused").exists()


def test_unknown_split_is_refused(scenario: Scenario) -> None:
    with pytest.raises(InputError, match=r"no split called 'validation'.*train or test"):
        scenario.flow_set("validation")


@pytest.fixture
def copy(scenario: Scenario, tmp_path: Path) -> Path:
    """A scenario that a test may damage."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes((scenario.path / name).read_bytes())
    return folder


@pytest.mark.parametrize("name", [name for name in FILES if name != "manifest.json"])
def test_changed_file_is_refused_by_name(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)

    with pytest.raises(InputError, match=f"{name}: has changed"):
        Scenario.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_refused_by_name(copy: Path, name: str) -> None:
    (copy / name).unlink()

    with pytest.raises(InputError, match=name):
        Scenario.load(copy)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_changed_manifest_is_refused(copy: Path) -> None:
    edit(copy, lambda manifest: manifest["catalogue"]["classes"][0]["ranking"].reverse())

    with pytest.raises(InputError, match=r"manifest\.json"):
        Scenario.load(copy)


def test_other_format_is_refused_by_its_number(copy: Path) -> None:
    edit(copy, lambda manifest: manifest.update(format=4))

    with pytest.raises(InputError, match=r"scenario format 4.*Expected format 3"):
        Scenario.load(copy)


def test_other_format_is_refused_by_its_number_whatever_its_other_keys_are(copy: Path) -> None:
    (copy / "manifest.json").write_text('{"format": 4}')

    with pytest.raises(InputError, match=r"scenario format 4.*Expected format 3"):
        Scenario.load(copy)


def of_format_2(folder: Path) -> None:
    (folder / "detector.safetensors").rename(folder / "detector.skops")
    edit(folder, lambda manifest: manifest.update(format=2))


def test_scenario_of_format_2_can_be_prepared_again_as_its_message_says(
    copy: Path, flows: Flows, scenario: Scenario
) -> None:
    of_format_2(copy)
    with pytest.raises(InputError, match=r"format 2.*Expected format 3.*Run kirl prepare again"):
        Scenario.load(copy)

    Scenario.prepare(flows, copy, seed=0)

    assert Scenario.load(copy).fingerprint == scenario.fingerprint
    assert names(copy) == FILES


def test_other_files_beside_a_scenario_of_format_2_are_kept(copy: Path, flows: Flows) -> None:
    of_format_2(copy)
    (copy / "notes.txt").write_text("mine")

    with pytest.raises(InputError, match="holds more than a scenario"):
        Scenario.prepare(flows, copy)

    assert (copy / "notes.txt").read_text() == "mine"


def test_a_detector_of_more_signatures_than_the_scenario_has_is_refused(
    make_flows: MakeFlows, scenario: Scenario, tmp_path: Path
) -> None:
    larger = Scenario.prepare(make_flows({"Benign": 900, "DoS": 900}), tmp_path / "larger")

    with pytest.raises(InputError, match=r"the detector has \d+ signatures.*at most the \d+ of"):
        replace(scenario, path=larger.path).detector()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"format": 3}', "\x00\xff"])
def test_unreadable_manifest_is_refused_by_name(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text, encoding="latin-1")

    with pytest.raises(InputError, match=r"manifest\.json: not a readable manifest"):
        Scenario.load(copy)


def test_folder_that_is_no_scenario_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a scenario") as caught:
        Scenario.load(tmp_path)

    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"Benign": 50}, r"all 50 flows are of one class \(Benign\): there are no attacks"),
        ({"Benign": 50, "Web": 1}, "class Web has only one flow"),
        ({"Benign": 4, "Web": 4}, "only 8 flows of 2 classes"),
    ],
)
def test_flows_that_cannot_be_split_are_refused_and_nothing_is_written(
    make_flows: MakeFlows, tmp_path: Path, counts: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Scenario.prepare(make_flows(counts), tmp_path / "scenario")

    assert names(tmp_path) == []


def test_smallest_accepted_set_trains_on_every_class(make_flows: MakeFlows, tmp_path: Path) -> None:
    flows = make_flows({"PortScan": 2, "DoS": 9, "Benign": 9})

    scenario = Scenario.prepare(flows, tmp_path / "scenario")

    assert set(scenario.train[1]) == {0, 1, 2}
    assert len(scenario.test[1]) == 6


def test_prepare_replaces_an_old_scenario(
    make_flows: MakeFlows, copy: Path, scenario: Scenario
) -> None:
    new = Scenario.prepare(make_flows({"Benign": 30, "Web": 30}), copy)

    assert new.fingerprint != scenario.fingerprint
    assert_same(Scenario.load(copy), new)
    assert names(copy.parent) == ["copy"]


def test_prepare_that_fails_half_way_leaves_the_old_scenario(
    make_flows: MakeFlows, copy: Path, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envs.scenario_files._write_split", full)

    with pytest.raises(InputError, match="No space left on device"):
        Scenario.prepare(make_flows({"Benign": 30, "Web": 30}), copy)

    assert Scenario.load(copy).fingerprint == scenario.fingerprint
    assert names(copy.parent) == ["copy"]


def test_copy_is_the_same_scenario_elsewhere(scenario: Scenario, tmp_path: Path) -> None:
    scenario.copy_to(tmp_path / "runs" / "a" / "scenario")

    copied = Scenario.load(tmp_path / "runs" / "a" / "scenario")

    assert_same(copied, scenario)
    assert copied.detector().digest() == scenario.detector().digest()


def test_copy_survives_where_the_original_is_prepared_anew(
    make_flows: MakeFlows, copy: Path, scenario: Scenario, tmp_path: Path
) -> None:
    Scenario.load(copy).copy_to(tmp_path / "kept")

    Scenario.prepare(make_flows({"Benign": 30, "Web": 30}), copy)

    assert_same(Scenario.load(tmp_path / "kept"), scenario)
