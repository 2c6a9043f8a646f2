from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs import Catalogue, InputError
from llm_actor import Prompts
from llm_actor.advisor import FLOOR
from llm_actor.labels import labels
from llm_actor.model_files import ModelSource
from llm_actor.text import Message
from llm_actor.transformers_advisor import TransformersAdvisor, merged, understood

sys.path.insert(0, str(Path(__file__).parent))
import tiny

PAPER = Catalogue.named("paper")

FILTER, AUDIT, NOTHING = (
    PAPER.action_names.index(name) for name in ("Filter Network Traffic", "Audit", "No Action")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model as save_pretrained leaves it."""
    place = tmp_path_factory.mktemp("tiny-phi")
    tiny.model().save_pretrained(place)
    tiny.tokenizer().save_pretrained(place)
    return place


def prompts_of(count: int, left_out: tuple[int, ...] = ()) -> Prompts:
    rng = np.random.default_rng(0)
    rewards = rng.integers(-50, 51, (8, 15)).astype(np.float32) / np.float32(10)
    candidates = np.ones((count, 15), np.bool_)
    candidates[:, list(left_out)] = False
    predicted = rng.integers(0, 8, count).astype(np.int8)
    shares = np.zeros((count, 8), np.float32)
    shares[np.arange(count), predicted] = 1
    return Prompts(predicted, np.full(count, 0.9, np.float32), shares, rewards, candidates, PAPER)


def test_scores_are_a_normalised_distribution_over_the_candidates(folder: Path) -> None:
    advisor = TransformersAdvisor(ModelSource(str(folder)))

    answers = advisor.log_probabilities(prompts_of(5, left_out=(FILTER, AUDIT)))

    assert answers.dtype == np.float32
    assert np.exp(answers).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.exp(answers[:, [FILTER, AUDIT]]) == pytest.approx(FLOOR, rel=0.01)


def test_scores_are_those_of_the_model_on_the_whole_text(folder: Path) -> None:
    advisor, prompts = TransformersAdvisor(ModelSource(str(folder))), prompts_of(3)
    model, tokenizer = tiny.model(), tiny.tokenizer()

    answers = advisor.log_probabilities(prompts)

    for row, text in enumerate(advisor.texts(prompts)):
        sums = []
        for label in labels(15):
            told = tokenizer(text)["input_ids"]
            whole = tokenizer(f"{text}{label}")["input_ids"]
            assert whole[: len(told)] == told
            with torch.inference_mode():
                spread = model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
            places = range(len(told), len(whole))
            sums.append(sum(float(spread[i - 1, whole[i]]) for i in places))
        expected = torch.tensor(sums).softmax(0).numpy()
        assert np.exp(answers[row]) == pytest.approx(expected, abs=3e-3)


def test_an_answer_does_not_depend_on_its_batch(folder: Path) -> None:
    advisor = TransformersAdvisor(ModelSource(str(folder)), token_budget=2_000)
    prompts = prompts_of(6)

    together = advisor.log_probabilities(prompts)

    alone = np.concatenate([advisor.log_probabilities(prompts.take([row])) for row in range(6)])
    assert together == pytest.approx(alone, abs=1e-4)


def test_nothing_asked_nothing_answered(folder: Path) -> None:
    advisor = TransformersAdvisor(ModelSource(str(folder)))

    assert advisor.log_probabilities(prompts_of(3).take([])).shape == (0, 15)
    assert advisor.name == folder.name


def cramped(folder: Path, rows: int, mode: Any) -> tuple[TransformersAdvisor, list[int]]:  # noqa: ANN401
    """An advisor in a memory that holds so many rows at a time, and the rows that it tries."""
    advisor = TransformersAdvisor(ModelSource(str(folder)), mode, token_budget=16_384)
    tried: list[int] = []

    def embed(_: object, ids: tuple[torch.Tensor]) -> None:
        tried.append(len(ids[0]))
        if len(ids[0]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")

    # The first thing that a model does with its rows.
    advisor._model.get_input_embeddings().register_forward_pre_hook(embed)
    return advisor, tried


@pytest.mark.parametrize("mode", ["score", "generate"])
def test_where_the_memory_does_not_suffice_batches_shrink_with_one_warning(
    mode: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = prompts_of(6)
    advisor, tried = cramped(folder, 2, mode)

    found = advisor.log_probabilities(prompts)

    expected = TransformersAdvisor(ModelSource(str(folder)), mode).log_probabilities(prompts)
    assert found == pytest.approx(expected, abs=1e-4)
    assert max(tried) == 6
    assert advisor.token_budget < 16_384
    assert len(caplog.messages) == 1
    assert f"{folder} ran out of memory with" in caplog.messages[0]
    # The smaller budget stays, so the next batches fit at once.
    tried.clear()
    advisor.log_probabilities(prompts)
    assert max(tried) <= 2


def test_a_prompt_that_does_not_even_fit_alone_is_one_message(folder: Path) -> None:
    advisor, tried = cramped(folder, 0, "generate")

    with pytest.raises(InputError, match=r"out of memory \(with one prompt.*smaller model"):
        advisor.log_probabilities(prompts_of(3))

    assert tried[-1] == 1


# Generating, as in the paper.


def test_a_generated_answer_takes_all_but_the_floor_and_is_counted(folder: Path) -> None:
    advisor = TransformersAdvisor(ModelSource(str(folder)), mode="generate")

    answers = np.exp(advisor.log_probabilities(prompts_of(4)))

    assert (answers.max(axis=1) > 0.99).all()
    assert np.sort(answers, axis=1)[:, :-1] == pytest.approx(FLOOR, rel=0.01)
    assert sum(advisor.outcomes.values()) == 4


def test_an_answer_that_means_nothing_leaves_it_to_the_best_record(folder: Path) -> None:
    advisor, prompts = TransformersAdvisor(ModelSource(str(folder)), mode="generate"), prompts_of(4)

    answers = advisor.log_probabilities(prompts)

    # A random model babbles.
    assert advisor.outcomes == {"record": 4}
    assert answers.argmax(1).tolist() == prompts.rewards[prompts.predicted].argmax(1).tolist()


@pytest.mark.parametrize(
    ("answer", "action", "outcome"),
    [
        ("[F]", "Audit", "label"),
        ("[F] Audit", "Audit", "label"),
        ("**[f]**\nbecause [A] earns less", "Audit", "label"),
        ("F", "Audit", "label"),
        ("F.", "Audit", "label"),
        ("Audit", "Audit", "exact"),
        (" Audit\n", "Audit", "exact"),
        ('"audit."', "Audit", "case"),
        ("**FILTER NETWORK TRAFFIC**", "Filter Network Traffic", "case"),
        ("I would take M1037.", "Filter Network Traffic", "attack_id"),
        ("Multi-Factor Authentification", "Multi-factor Authentication", "closest"),
        ("Network traffic filter\nbecause ...", "Filter Network Traffic", "closest"),
    ],
)
def test_what_an_answer_means(answer: str, action: str, outcome: str) -> None:
    place, how = understood(answer, PAPER.actions)

    assert place is not None
    assert (PAPER.action_names[place], how) == (action, outcome)


@pytest.mark.parametrize(
    "answer",
    [
        *("", "?!", "I cannot help with that.", "M9999", "[ZZ]", "P", "[1]", "["),
        pytest.param("\x00" * 99, id="zeros"),
    ],
)
def test_what_means_nothing_is_left_to_the_records(answer: str) -> None:
    assert understood(answer, PAPER.actions) == (None, "record")


# Models that cannot be used.


def damaged(folder: Path, target: Path, change: Callable[[Path], object]) -> str:
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    change(target)
    return str(target)


def foreign_code(place: Path) -> None:
    config: dict[str, Any] = json.loads((place / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "mine.Model"}}
    (place / "config.json").write_text(json.dumps(config))
    (place / "mine.py").write_text("raise SystemExit('this code was run')")


def only_pickled(place: Path) -> None:
    (place / "model.safetensors").unlink()
    torch.save(tiny.model().state_dict(), place / "pytorch_model.bin")


@pytest.mark.parametrize(
    "change",
    [
        lambda place: (place / "model.safetensors").write_bytes(b"\xff" * 100),
        lambda place: (place / "config.json").write_text("{"),
        lambda place: (place / "config.json").unlink(),
        lambda place: (place / "chat_template.jinja").unlink(),
        lambda place: (place / "tokenizer.json").write_text("[]"),
        only_pickled,
        foreign_code,
    ],
    ids=["weights", "config", "no-config", "no-chat", "tokenizer", "pickle", "foreign-code"],
)
def test_a_model_that_cannot_be_used_gives_one_message(
    folder: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    broken = damaged(folder, tmp_path / "broken", change)

    with pytest.raises(InputError, match=r"language model .*broken"):
        TransformersAdvisor(ModelSource(broken))


@pytest.mark.parametrize("model", ["nobody/no-such-model", "../../etc", "a b", "", "x" * 500])
def test_a_model_that_is_not_there_gives_one_message(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="language model"):
        TransformersAdvisor(ModelSource(model))


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_gives_one_message(folder: Path, device: str) -> None:
    with pytest.raises(InputError, match=device):
        TransformersAdvisor(ModelSource(str(folder), device=device))


# Chat formats.


def test_a_chat_format_without_system_parts_gets_the_instructions_from_the_user(
    folder: Path, tmp_path: Path
) -> None:
    def refuse(place: Path) -> None:
        path = place / "chat_template.jinja"
        strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        path.write_text(strict + path.read_text())

    advisor = TransformersAdvisor(ModelSource(damaged(folder, tmp_path / "strict", refuse)))

    (text,) = advisor.texts(prompts_of(1))
    assert text.startswith("<|user|>\nYou are an expert")
    assert text.endswith("<|assistant|>\n")


def test_merging_keeps_all_words() -> None:
    chat: list[Message] = [{"role": "system", "content": "A"}, {"role": "user", "content": "B"}]

    assert merged(chat) == [{"role": "user", "content": "A\n\nB"}]
    assert merged(chat[1:]) == chat[1:]
