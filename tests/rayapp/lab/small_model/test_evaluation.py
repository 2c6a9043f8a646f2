from __future__ import annotations

from typing import Any

import pytest
import torch

from llm_actor.scoring import Question, Scorer
from rayapp.lab.small_model.evaluation import answers_of, evaluate, judged, weighed
from rayapp.lab.small_model.layout import Layout, Names
from rayapp.lab.small_model.model import Size, new
from rayapp.lab.small_model.names import made_up
from rayapp.lab.small_model.simulation import Neighbourhoods, simulate
from rayapp.lab.small_model.vocabulary import Vocabulary, build

VOCABULARY = Vocabulary(build())
MODEL: Any = new(VOCABULARY, 0, Size(32, 48, 2, 2)).eval()
TABLE = Names.of(made_up(300, 5), VOCABULARY, "cpu")
LAYOUT = Layout(VOCABULARY, TABLE)


def simulated(types: int, actions: int, known: bool = False) -> Neighbourhoods:
    return simulate(32, types, actions, TABLE.world, torch.Generator().manual_seed(0), known)


@torch.inference_mode()
def test_a_row_is_weighed_as_the_scorer_weighs_its_prompt() -> None:
    rows = LAYOUT.rows(simulated(3, 8))
    questions = [
        Question(
            rows.ids[row, : rows.lengths[row]].tolist(),
            [[i] for i in rows.labels[row][rows.listed[row]].tolist()],
        )
        for row in range(len(rows))
    ]

    told, scores = weighed(answers_of(MODEL, rows), rows), Scorer(MODEL).score(questions)

    for row, score in enumerate(scores):
        expected = torch.from_numpy(score).log_softmax(0)
        assert told[row][rows.listed[row]].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


class Reader:
    """Chooses by a table instead of reading: one column of logits for each label."""

    def __init__(self, choices: torch.Tensor) -> None:
        self.choices = choices
        self.labels = torch.tensor(VOCABULARY.labels)

    def model(self, input_ids: torch.Tensor, **_: object) -> Any:  # noqa: ANN401
        return type("Out", (), {"last_hidden_state": torch.zeros(*input_ids.shape, 1)})

    def lm_head(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(hidden), len(VOCABULARY))
        logits[:, self.labels[: self.choices.shape[1]]] = self.choices
        return logits


def test_who_answers_with_the_optimum_is_always_right() -> None:
    batch = simulated(2, 8)
    optimal = Reader(LAYOUT.rows(batch).promised * 4)

    found = judged(optimal, LAYOUT, batch)

    for figure in ("alone", "misled"):
        right, count = found[figure]
        assert right == count > 0
    assert found["kl"][0] == pytest.approx(0, abs=1e-3)


def test_an_answer_outside_of_the_list_is_not_valid() -> None:
    batch = simulated(2, 4)
    first, fifth = torch.zeros(32, 5), torch.zeros(32, 5)
    first[:, 0], fifth[:, 4] = 1, 1

    inside, outside = (judged(Reader(choices), LAYOUT, batch) for choices in (first, fifth))

    assert inside["valid"][0] == inside["valid"][1] > 0
    assert outside["valid"][0] == 0


def test_who_trusts_the_predicted_type_is_always_misled() -> None:
    batch = simulated(2, 8)
    own = batch.rewards[:, 0].float().masked_fill(batch.rewards[:, 0] == 101, 50)
    order = (~batch.candidates).long().argsort(dim=1, stable=True)

    found = judged(Reader(own.gather(1, order)), LAYOUT, batch)

    assert found["alone"][0] > 0.9 * found["alone"][1]
    assert found["misled"][0] == 0
    assert found["misled"][1] > 0


def test_silent_neighbourhoods_ask_for_what_attack_names() -> None:
    batch = simulated(1, 15, known=True)
    order = (~batch.candidates).long().argsort(dim=1, stable=True)
    named = batch.addressed[:, 0].gather(1, order).float()

    right, wrong = (judged(Reader(sign * named), LAYOUT, batch) for sign in (1, -1))

    assert right["silent"][0] == right["silent"][1] > 0
    assert wrong["silent"][0] < wrong["silent"][1] / 2


def test_an_evaluation_is_repeatable_and_told_by_shape() -> None:
    one, again = (evaluate(MODEL, VOCABULARY, "cpu", 64, ((1, 3), (2, 4))) for _ in range(2))

    assert one == again
    assert one["neighbourhoods"] == 64 * 4
    assert list(one["shapes"]) == [
        "1 types, 3 actions",
        "2 types, 4 actions",
        "1 types, 15 actions, ATT&CK's names",
        "2 types, 15 actions, ATT&CK's names",
    ]
    assert one["shapes"]["1 types, 3 actions"]["misled"] is None
