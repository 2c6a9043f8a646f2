from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_actor.budget import batches
from llm_actor.scoring import Question, Scorer, common_prefix

sys.path.insert(0, str(Path(__file__).parent))
import tiny

MODEL = tiny.model()

token_ids = st.lists(st.integers(0, 399), min_size=1, max_size=7)
question_lists = st.lists(
    st.builds(Question, token_ids, st.lists(token_ids, min_size=1, max_size=4)),
    min_size=1,
    max_size=5,
)


@torch.inference_mode()
def one_by_one(question: Question, model: torch.nn.Module = MODEL) -> list[float]:
    """The slow and plain way: a forward pass over prompt and candidate, for each candidate."""
    scores = []
    for candidate in question.candidates:
        ids = torch.tensor([[*question.prompt, *candidate]])
        spread = model(input_ids=ids).logits[0].log_softmax(dim=-1)
        start = len(question.prompt)
        scores.append(sum(float(spread[start + i - 1, t]) for i, t in enumerate(candidate)))
    return scores


@settings(deadline=None, max_examples=40)
@given(question_lists, st.lists(st.integers(0, 399), max_size=6), st.integers(1, 60))
def test_one_pass_scores_as_separate_passes_do(
    questions: list[Question], beginning: list[int], budget: int
) -> None:
    questions = [Question([*beginning, *q.prompt], q.candidates) for q in questions]

    scores = Scorer(MODEL, token_budget=budget).score(questions)

    for question, found in zip(questions, scores, strict=True):
        assert found.dtype == np.float32
        assert found.tolist() == pytest.approx(one_by_one(question), abs=1e-4)


def some_questions(count: int) -> list[Question]:
    rng = np.random.default_rng(1)
    return [
        Question(
            [7, 8, 9, *rng.integers(0, 400, rng.integers(1, 20)).tolist()],
            [rng.integers(0, 400, rng.integers(1, 6)).tolist() for _ in range(rng.integers(1, 9))],
        )
        for _ in range(count)
    ]


def test_scores_do_not_depend_on_batch_and_order() -> None:
    questions = some_questions(12)
    together = Scorer(MODEL).score(questions)

    backwards = Scorer(MODEL, token_budget=64).score(questions[::-1])[::-1]
    alone = [Scorer(MODEL).score([question])[0] for question in questions]

    for one, other, single in zip(together, backwards, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
        assert one == pytest.approx(single, abs=1e-4)


def test_eager_attention_scores_alike() -> None:
    eager, questions = tiny.model(attention="eager"), some_questions(4)

    for one, other in zip(
        Scorer(eager).score(questions), Scorer(MODEL).score(questions), strict=True
    ):
        assert one == pytest.approx(other, abs=1e-4)


def test_the_beginning_is_read_once_for_all_batches_and_calls() -> None:
    read: list[int] = []
    model = tiny.model()
    model.model.embed_tokens.register_forward_hook(lambda _m, ids, _o: read.append(ids[0].numel()))
    scorer, beginning = Scorer(model, token_budget=8), list(range(300))
    questions = [Question([*beginning, 310 + i], [[1, 2], [3]]) for i in range(6)]

    scorer.score(questions)
    scorer.score(questions[:3])

    # 300 once; then per row its own prompt token and the one answer token that is read.
    assert sum(read) == 300 + 2 * (6 + 3)


def test_a_changed_beginning_is_read_again() -> None:
    scorer = Scorer(MODEL)
    first, second = (Question([a, 5, 6, 7], [[1, 2], [3]]) for a in (10, 11))

    scorer.score([first])

    assert scorer.score([second])[0].tolist() == pytest.approx(one_by_one(second), abs=1e-4)


def test_probabilities_of_all_answers_add_up_to_one() -> None:
    # Every single token as an answer: the model must answer with one of them.
    question = Question([5, 6], [[token] for token in range(400)])

    scores = Scorer(MODEL).score([question])[0]

    assert np.exp(scores.astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)


def test_nothing_asked_nothing_answered() -> None:
    assert Scorer(MODEL).score([]) == []


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 200))
def test_batches_hold_every_row_once_and_keep_the_budget(lengths: list[int], budget: int) -> None:
    groups = list(batches(lengths, budget))

    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or max(lengths[row] for row in group) * len(group) <= budget


@given(st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=5))
def test_common_prefix_is_the_longest(sequences: list[list[int]]) -> None:
    prefix = common_prefix(sequences)

    assert all(s[: len(prefix)] == prefix for s in sequences)
    following = {tuple(s[len(prefix) : len(prefix) + 1]) for s in sequences}
    assert len(following) > 1 or following == {()}
