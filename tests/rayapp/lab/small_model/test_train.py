from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, Phi3ForCausalLM

from envs import Catalogue
from llm_actor import Prompts
from llm_actor.labels import labels
from llm_actor.model_files import ModelSource
from llm_actor.text import printable
from llm_actor.transformers_advisor import TransformersAdvisor
from rayapp.lab.small_model import train as training
from rayapp.lab.small_model.evaluation import held_out
from rayapp.lab.small_model.layout import Names
from rayapp.lab.small_model.model import Size, new, save
from rayapp.lab.small_model.train import (
    LEVELS,
    Plan,
    Promises,
    Source,
    level,
    losses,
    train,
    train_and_judge,
)
from rayapp.lab.small_model.vocabulary import Vocabulary, build

PAPER = Catalogue.named("paper")

VOCABULARY = Vocabulary(build())
SIZE = Size(hidden=32, intermediate=48, layers=2, heads=2)


@pytest.fixture(autouse=True, scope="module")
def names_that_are_made_once() -> Iterator[None]:
    """Trainings of one seed are about the same 30,000 names, which take seconds to make."""
    read = Names.of

    @functools.cache
    def names(texts: tuple[str, ...], vocabulary: Vocabulary, device: str) -> Names:
        return read(texts, vocabulary, device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "made_up", functools.cache(training.made_up))
        patch.setattr(Names, "of", lambda texts, *rest: names(tuple(texts), *rest))
        yield


def plan(steps: int = 2, seed: int = 0) -> Plan:
    return Plan(steps, batch=16, minutes=None, rate=1e-3, seed=seed, device="cpu")


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_changes_the_model_and_is_repeatable() -> None:
    trained, again, other = (
        weights(train(plan(seed=seed), VOCABULARY, SIZE).model) for seed in (0, 0, 1)
    )

    assert torch.equal(trained, again)
    assert not torch.equal(trained, other)
    assert not torch.equal(trained, weights(new(VOCABULARY, 0, SIZE)))


def test_an_interrupted_training_leaves_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, object]] = []

    def interrupt(**values: object) -> None:
        said.append(values)
        if "step" in values:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "say", interrupt)

    model = train(plan(steps=1_000), VOCABULARY, SIZE).model

    assert said[-1] == {"interrupted": True}
    assert torch.equal(weights(model), weights(train(plan(steps=1_000), VOCABULARY, SIZE).model))


def test_training_ends_with_its_minutes() -> None:
    trained = train(Plan(10**6, 4, 1e-9, 1e-3, 0, "cpu"), VOCABULARY, SIZE)

    assert trained.steps == 0
    assert torch.equal(weights(trained.model), weights(new(VOCABULARY, 0, SIZE)))


def test_a_perfect_answer_has_no_loss() -> None:
    """Losses of a stand-in whose outputs are right by construction."""
    source = Source.of(plan(), VOCABULARY)
    rows = source.draw(8, ((2, 5),))
    perfect = Perfect(rows.target, rows.labels, source.layout.end)

    found = losses(perfect, Read(rows.promised), rows, source.layout.end)

    assert found.tolist() == pytest.approx([0, 0, 0, 0], abs=1e-4)


class Perfect:
    """Outputs whose logits are the target's logarithms, and the end behind every answer."""

    def __init__(self, target: torch.Tensor, chosen: torch.Tensor, end: int) -> None:
        self._logits = torch.full((len(target), 2, len(VOCABULARY)), -200.0)
        told = target.clamp(min=1e-30).log().masked_fill(target == 0, -200)
        self._logits[:, 0].scatter_(1, chosen, told)
        self._logits[:, 0, 0] = -200
        self._logits[:, 1, end] = 0

    def model(self, input_ids: torch.Tensor, **_: object) -> Any:  # noqa: ANN401
        out = torch.zeros(*input_ids.shape, 1)
        return type("Out", (), {"last_hidden_state": out, "hidden_states": ()})

    def lm_head(self, _hidden: torch.Tensor) -> torch.Tensor:
        return self._logits


class Read:
    def __init__(self, promised: torch.Tensor) -> None:
        self._found = promised[None] / training.UNIT

    def __call__(self, _states: object, _lines: object) -> torch.Tensor:
        return self._found


def test_rows_are_drawn_with_every_label_and_the_shortest_first() -> None:
    source = Source.of(plan(), VOCABULARY)

    drawn = [source.draw(64, LEVELS[-1][1]) for _ in range(12)]

    for rows in drawn:
        assert rows.lengths.tolist() == sorted(rows.lengths.tolist())
        used = rows.ids.gather(1, rows.lines)
        assert (used[rows.listed] == rows.labels[rows.listed]).all()
    seen = torch.cat([rows.labels[rows.listed] for rows in drawn]).unique()
    assert len(seen) > 200


def test_no_training_uses_the_held_out_names() -> None:
    names = Source.of(plan(), VOCABULARY).names
    made = names.ids[sum(names.world.addresses.shape) :]

    used = {tuple(i for i in row if i >= 0) for row in made.tolist()}

    assert len(used) > 20_000
    assert not used & {tuple(VOCABULARY.pieces(printable(name))) for name in held_out()}


def test_shapes_widen() -> None:
    assert level(0) == LEVELS[0][1]
    assert level(0.04) == LEVELS[1][1]
    assert level(0.999) == LEVELS[-1][1]


# What is shipped.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embedded") / "model"
    train_and_judge(out, Plan(2, 8, None, rate=2e-3, seed=0, device="cpu"), SIZE, 32)
    return out


def test_the_folder_loads_with_plain_transformers_and_without_the_heads(folder: Path) -> None:
    model, report = Phi3ForCausalLM.from_pretrained(folder, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    assert model.config.model_type == "phi3"
    assert len(tokenizer) == model.config.vocab_size == len(VOCABULARY)
    assert tokenizer("[C]")["input_ids"] == [VOCABULARY.labels[2]]


def test_its_evaluation_is_written_beside_it(folder: Path) -> None:
    report = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))

    assert report["plan"]["steps"] == 2
    assert report["size"]["hidden"] == 32
    assert 0 <= report["alone"] <= 1
    assert report["shapes"]["2 types, 15 actions"]["kl"] > 0


def test_the_advisor_reads_what_training_reads(folder: Path) -> None:
    """Scores of the shipped folder through text are the log-probabilities of the rows."""
    advisor = TransformersAdvisor(ModelSource(str(folder)))
    rewards = np.full((8, 15), -5, np.float32)
    rewards[:, [0, 3]] = 4.9, 2.5
    shares = np.zeros((1, 8), np.float32)
    shares[0, [1, 2]] = 0.4, 0.6
    prompts = Prompts(
        np.array([1], np.int8),
        np.array([0.5], np.float32),
        shares,
        rewards,
        rewards[:1] > 0,
        PAPER,
    )
    model = Phi3ForCausalLM.from_pretrained(folder, dtype=torch.float32)

    (text,) = advisor.texts(prompts)
    ids = torch.tensor([VOCABULARY.pieces(text)])
    with torch.inference_mode():
        chosen = model(input_ids=ids).logits[0, -1, VOCABULARY.labels[:2]].log_softmax(0)

    answers = advisor.log_probabilities(prompts)
    assert labels(2) == ["[A]", "[B]"]
    assert answers[0, [0, 3]] == pytest.approx(chosen.numpy(), abs=2e-3)


def test_the_heads_read_every_layer_that_comes_in_time() -> None:
    assert list(Promises(5, 8).layers) == [2, 3, 4]
    assert list(Promises(3, 8).layers) == [2]
    assert list(Promises(2, 8).layers) == [2]


def test_a_saved_model_keeps_its_weights(tmp_path: Path) -> None:
    model: Any = new(VOCABULARY, 3, SIZE)
    before = weights(model).half()

    save(model, VOCABULARY, tmp_path)

    again = Phi3ForCausalLM.from_pretrained(tmp_path, dtype=torch.float16)
    assert torch.equal(weights(again), before)
