from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_actor.tokens import Tokens

sys.path.insert(0, str(Path(__file__).parent))
import tiny

TOKENIZER = tiny.tokenizer()
TEXT = "<|user|>\nPredicted type: DoS<|end|>\n<|assistant|>\n"
ANSWERS = ["Network Segmentation", "Network Intrusion Prevention", "Audit", "Audit the audit"]


def whole(text: str, answer: str) -> list[int]:
    return list(TOKENIZER(text + answer + "<|end|>", add_special_tokens=False)["input_ids"])


@settings(deadline=None)
@given(
    st.lists(st.text("Audit the\nDoS 4.9", max_size=12), min_size=1, max_size=4),
    st.text("Audit the\nDoS 4.9", max_size=8),
)
def test_prompt_and_candidate_are_split_as_one_text(middles: list[str], beginning: str) -> None:
    texts = [f"<|user|>\n{middle}<|end|>\n<|assistant|>\n{beginning}" for middle in middles]

    questions = Tokens(TOKENIZER, "<|end|>").questions(texts, [ANSWERS] * len(texts))

    for text, question in zip(texts, questions, strict=True):
        for answer, candidate in zip(ANSWERS, question.candidates, strict=True):
            assert [*question.prompt, *candidate] == whole(text, answer)


def test_an_answer_that_merges_with_the_end_of_the_prompt_is_split_as_one_text() -> None:
    # 'Aud' alone is other tokens than the beginning of 'Audit', which is one.
    text = TEXT + "Aud"

    (question,) = Tokens(TOKENIZER, "<|end|>").questions([text], [["it", "io"]])

    alone = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert list(question.prompt) != alone
    assert [*question.prompt, *question.candidates[0]] == whole(text, "it")
    assert [*question.prompt, *question.candidates[1]] == whole(text, "io")


def test_what_all_answers_begin_with_belongs_to_the_prompt() -> None:
    (question,) = Tokens(TOKENIZER, "<|end|>").questions([TEXT], [ANSWERS[:2]])

    shared = TOKENIZER.decode(question.prompt)
    assert shared.startswith(TEXT + "Network")


def test_a_single_answer_keeps_its_ending() -> None:
    (question,) = Tokens(TOKENIZER, "<|end|>").questions([TEXT], [["Audit"]])

    assert question.candidates == [[TOKENIZER.convert_tokens_to_ids("<|end|>")]]


@pytest.mark.parametrize("text", ["Predicted type: Do", "", "Aud"])
def test_without_special_tokens_whole_texts_are_used(text: str) -> None:
    plain = tiny.tokenizer(special=False)

    (question,) = Tokens(plain, "\n").questions([text], [ANSWERS])

    for answer, candidate in zip(ANSWERS, question.candidates, strict=True):
        ids = plain(text + answer + "\n", add_special_tokens=False)["input_ids"]
        assert [*question.prompt, *candidate] == ids
