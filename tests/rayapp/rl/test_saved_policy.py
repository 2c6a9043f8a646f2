"""A trained policy as a file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from envs import BetaPrior, Contexts, Counters, InputError, Suggestion
from rayapp.rl.networks import NetworkSpec, build
from rayapp.rl.saved_policy import SavedPolicy, TablePolicy, load_policy

CONTEXTS = Contexts.of_signatures(np.array([0, 2, 6], np.int8))


@pytest.fixture
def policy() -> SavedPolicy:
    torch.manual_seed(0)
    spec = NetworkSpec(3, 8, 15, augmented=True, reward_scale=5)
    weights = {
        name: torch.randn_like(value) for name, value in build(spec, 15).state_dict().items()
    }
    counters = Counters(np.array([5, 6, 7]), np.array([5, 3, 0]), BetaPrior(2.0, 1.0))
    suggestion = Suggestion(np.array([0, 14, 10], np.int16), np.array([5, 5, 4.5], np.float32))
    return SavedPolicy(spec, weights, counters, suggestion, fingerprint="abc")


def test_what_is_loaded_acts_as_what_was_saved(policy: SavedPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path / "policy")

    loaded = load_policy(tmp_path / "policy", "abc")

    assert np.array_equal(loaded.probabilities(CONTEXTS), policy.probabilities(CONTEXTS))
    assert loaded.counters.prior == BetaPrior(2.0, 1.0)


def with_opinion(policy: SavedPolicy) -> SavedPolicy:
    """The same with two contexts more than signatures."""
    spec = dataclasses.replace(policy.spec, opinion=True)
    torch.manual_seed(0)
    weights = {n: torch.randn_like(value) for n, value in build(spec, 15).state_dict().items()}
    told = Suggestion(np.array([0, 14, 10, 3, 2], np.int16), np.ones(5, np.float32))
    return dataclasses.replace(policy, spec=spec, weights=weights, suggestion=told)


def test_a_policy_on_contexts_is_kept_as_well(policy: SavedPolicy, tmp_path: Path) -> None:
    contexts = Contexts(
        np.array([0, 0, 1, 2, 2], np.int32),
        CONTEXTS.predicted,
        np.array([0, 7, 2, 6, 1], np.int8),
        np.array([0.9995, 0.5, 0.75, 0.945, 0.5], np.float32),
    )
    finer = with_opinion(policy)
    finer.save(tmp_path / "policy")

    loaded = load_policy(tmp_path / "policy", "abc")

    probabilities = loaded.probabilities(contexts)
    assert np.array_equal(probabilities, finer.probabilities(contexts))
    # What the second opinion says matters within one signature.
    assert not np.allclose(probabilities[0], probabilities[1])


def test_its_actions_are_the_most_probable_ones(policy: SavedPolicy) -> None:
    probabilities = policy.probabilities(CONTEXTS)

    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(policy.actions(CONTEXTS), probabilities.argmax(axis=1))


def test_advice_is_part_of_what_it_sees(policy: SavedPolicy) -> None:
    other = dataclasses.replace(
        policy, suggestion=Suggestion(np.array([1, 1, 1], np.int16), np.zeros(3, np.float32))
    )

    assert not np.allclose(policy.probabilities(CONTEXTS), other.probabilities(CONTEXTS))


def test_another_scenarios_policy_is_refused_by_name(policy: SavedPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path / "policy")

    with pytest.raises(InputError, match="trained on scenario abc"):
        load_policy(tmp_path / "policy", "def")


def test_a_missing_policy_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Let kirl train finish"):
        load_policy(tmp_path / "policy", "abc")


@pytest.mark.parametrize("name", ["policy.json", "policy.safetensors"])
def test_a_damaged_file_is_refused(policy: SavedPolicy, tmp_path: Path, name: str) -> None:
    policy.save(tmp_path / "policy")
    file = tmp_path / "policy" / name
    file.write_bytes(file.read_bytes()[:40])

    with pytest.raises(InputError, match="not a readable policy"):
        load_policy(tmp_path / "policy", "abc")


@pytest.mark.parametrize("change", [{"signatures": 10**12}, {"hidden": [7]}, {"colour": "red"}])
def test_a_network_that_does_not_fit_its_weights_is_refused(
    policy: SavedPolicy, tmp_path: Path, change: dict[str, object]
) -> None:
    policy.save(tmp_path / "policy")
    file = tmp_path / "policy" / "policy.json"
    about = json.loads(file.read_text())
    about["network"].update(change)
    file.write_text(json.dumps(about))

    with pytest.raises(InputError, match="do not fit together"):
        load_policy(tmp_path / "policy", "abc")


def test_changed_tensors_are_refused(policy: SavedPolicy, tmp_path: Path) -> None:
    policy.save(tmp_path / "policy")
    file = tmp_path / "policy" / "policy.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-400] + bytes(400))

    with pytest.raises(InputError, match="has changed"):
        load_policy(tmp_path / "policy", "abc")


def test_a_table_is_a_policy_too(tmp_path: Path) -> None:
    table = np.array([[0.1, 0.9], [0.75, 0.25], [0.5, 0.5]], np.float32)
    TablePolicy(table, "abc").save(tmp_path / "policy")

    loaded = load_policy(tmp_path / "policy", "abc")

    assert loaded.actions(CONTEXTS).tolist() == [1, 0, 0]
    assert loaded.probabilities(CONTEXTS) == pytest.approx(table)
    with pytest.raises(InputError, match="trained on scenario abc"):
        load_policy(tmp_path / "policy", "def")


@pytest.mark.parametrize("kind", ["network", "nonsense"])
def test_a_policy_of_another_kind_than_it_says_is_refused(tmp_path: Path, kind: str) -> None:
    TablePolicy(np.eye(3, dtype=np.float32), "abc").save(tmp_path / "policy")
    about = tmp_path / "policy" / "policy.json"
    about.write_text(about.read_text().replace('"table"', f'"{kind}"'))

    with pytest.raises(InputError, match="do not fit together"):
        load_policy(tmp_path / "policy", "abc")
