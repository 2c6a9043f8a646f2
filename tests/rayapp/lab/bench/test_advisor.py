"""The advisors' benchmark, small: it asks real models, and tells what it asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from envs import InputError
from llm_actor.transformers_advisor import BUDGETS
from rayapp.commands.bench import app
from rayapp.lab.bench import advisor as bench
from rayapp.lab.bench import phi

WIDTH = dict(phi.PHI)
"""The paper's architecture as it is."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which a benchmark is a test."""
    narrow = {"hidden_size": 64, "intermediate_size": 96}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    monkeypatch.setattr(phi, "PHI", phi.PHI | narrow | heads)
    monkeypatch.setattr(bench, "FLOWS", 2_000)
    for module in (bench, phi):
        monkeypatch.setattr(module, "ROUNDS", 1)
        for most in ("GENERATED", "ONE_BY_ONE"):
            monkeypatch.setattr(module, most, 3)


def told(*arguments: str, part: str = "ways") -> str:
    arguments = ("advisor", "--part", part, *arguments)
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


PHI = ("--config", "phi-3.5", "--random-weights", "--layers", "2", "--prompts", "5",
       "--tokens-per-prompt", "60", "--device", "cpu")  # fmt: skip


def test_prompts_of_a_made_up_graph_are_all_different() -> None:
    prompts = bench.distinct_prompts(50)

    assert len(prompts) == 50
    assert len(set(prompts.keys())) == 50
    assert (np.count_nonzero(prompts.candidates, axis=1) > 1).any()


def test_flows_grow_with_the_prompts_that_are_wanted() -> None:
    # 2,000 flows a merge, as here, leave most of so many signatures without a record.
    assert len(bench.distinct_prompts(1_000)) == 1_000


def test_the_embedded_model_is_measured_in_four_ways() -> None:
    speed = json.loads(told("--prompts", "6", "--device", "cpu", "--json"))

    ways = {way["name"]: way for way in speed["ways"]}
    assert {name: way["prompts"] for name, way in ways.items()} == {
        "scoring, batched": 6,
        "scoring, one at a time": 3,
        "generating a label, batched": 3,
        "generating a label, one at a time": 3,
    }
    assert speed["ratios"]["scoring to generating a label, one at a time"] == pytest.approx(
        ways["scoring, one at a time"]["prompts_per_second"]
        / ways["generating a label, one at a time"]["prompts_per_second"]
    )
    assert 20 < speed["tokens_per_prompt"] < 400
    assert speed["device"] == "cpu"
    # What suits a CPU, unless it is said.
    assert speed["token_budget"] == BUDGETS["cpu"]
    other = json.loads(told("--prompts", "2", "--device", "cpu", "--token-budget", "500", "--json"))
    assert other["token_budget"] == 500


def test_the_papers_architecture_is_measured_with_fewer_layers() -> None:
    speed = json.loads(told(*PHI, "--json"))

    rates = {way["name"]: way["prompts_per_second"] for way in speed["ways"]}
    assert list(rates) == [
        "float32 generating 12 tokens, one at a time",
        "bfloat16 generating 12 tokens, batched",
        "bfloat16 generating a label, batched",
        "bfloat16 scoring, batched",
    ]
    assert [way["prompts"] for way in speed["ways"]] == [3, 3, 3, 5]
    assert (speed["new_tokens"], speed["label_tokens"]) == (12, 2)
    assert all(way["peak_gib"] > 0 for way in speed["ways"])
    assert speed["ratios"]["scoring to the paper's way"] == pytest.approx(
        rates["bfloat16 scoring, batched"] / rates["float32 generating 12 tokens, one at a time"]
    )
    assert speed["ratios"]["scoring to generating a label, both batched"] == pytest.approx(
        rates["bfloat16 scoring, batched"] / rates["bfloat16 generating a label, batched"]
    )
    assert speed["layers"] == 2
    assert speed["tokens_per_prompt"] == pytest.approx(60, abs=1)


@pytest.mark.slow
def test_the_papers_architecture_is_measured_at_its_full_width_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One layer of 32; weights are random and as wide as Phi-3.5's, prompts as long."""
    monkeypatch.setattr(phi, "PHI", WIDTH)
    arguments = ("--config", "phi-3.5", "--random-weights", "--layers", "1", "--prompts", "4")

    speed = json.loads(told(*arguments, "--device", "cpu", "--json"))

    # Embeddings, output and one layer: 2 x 98.5 and 113.3 million.
    assert speed["parameters"] == pytest.approx(310.3e6, rel=0.01)
    assert speed["tokens_per_prompt"] == pytest.approx(430, abs=1)
    assert [way["prompts"] for way in speed["ways"]] == [3, 3, 3, 4]
    assert all(way["prompts_per_second"] > 0 for way in speed["ways"])
    # Fewer tokens written are never slower by much.
    rates = {way["name"]: way["prompts_per_second"] for way in speed["ways"]}
    assert (
        rates["bfloat16 generating a label, batched"]
        > 0.8 * rates["bfloat16 generating 12 tokens, batched"]
    )


def test_people_read_the_ratios_first() -> None:
    lines = told(*PHI).splitlines()

    assert lines[0].startswith("scoring to the paper's way: ")
    assert "layers: 2" in lines


@pytest.mark.parametrize(
    "options",
    [
        ("--config", "phi-3.5"),
        ("--random-weights",),
        ("--layers", "2"),
        ("--tokens-per-prompt", "60"),
        (*PHI, "--token-budget", "500"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="do not go together"):
        told(*options)


@pytest.mark.parametrize("config", [(), PHI])
def test_a_device_that_is_not_there_is_refused(config: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="device is"):
        told(*config, "--prompts", "2", "--device", "abacus")


def test_phis_prompts_begin_alike_and_have_the_asked_length() -> None:
    questions = phi.phi_questions(40, 200)

    shared = round(phi.SHARED * 200)
    assert len({tuple(question.prompt[:shared]) for question in questions}) == 1
    assert len({tuple(question.prompt) for question in questions}) == 40
    assert np.mean([len(question.prompt) for question in questions]) == pytest.approx(200, abs=1)
    assert all(len(label) == 2 for question in questions for label in question.candidates)


def test_random_weights_give_numbers_in_the_asked_dtype() -> None:
    model = phi.random_phi(2, torch.device("cpu"), torch.bfloat16)

    (scores,) = phi.Scorer(model).score(phi.phi_questions(1, 60))

    assert model.dtype == torch.bfloat16
    assert len(model.model.layers) == 2
    assert np.isfinite(scores).all()
    assert (scores < 0).all()
