from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_actor.advisor import with_floor
from llm_actor.endpoint_reply import Alternative, Reply, Token, label_scores


def token(text: str, **others: float) -> Token:
    """A generated token; alternatives by text, itself with all the rest."""
    own = 1 - sum(others.values())
    listed = [Alternative(token=t, logprob=math.log(p)) for t, p in {text: own, **others}.items()]
    return Token(token=text, logprob=math.log(own), top_logprobs=listed)


def untold(text: str, logprob: float, listed: list[Alternative] | None = None) -> Token:
    """A generated token from a server that tells no alternatives."""
    return Token(token=text, logprob=logprob, top_logprobs=listed)


def probabilities(tokens: list[Token], count: int) -> list[float] | None:
    scores = label_scores(tokens, count)
    return None if scores is None else np.exp(scores).round(6).tolist()


def test_labels_of_one_token_are_told_apart_at_the_first() -> None:
    assert probabilities([token("[A]", **{"[B]": 0.3, "As": 0.1})], 3) == [0.6, 0.3, 0]


def test_labels_that_share_their_first_token_are_told_apart_at_the_next() -> None:
    tokens = [token("[", As=0.2), token("B", A=0.25, C=0.25), token("]")]

    assert probabilities(tokens, 3) == pytest.approx([0.2, 0.4, 0.2])


def test_another_way_to_split_the_same_label_counts_for_it() -> None:
    tokens = [token("[", **{"[A": 0.3, " [A]": 0.1}), token("B", A=0.5)]

    assert probabilities(tokens, 2) == pytest.approx([0.3 + 0.1 + 0.6 * 0.5, 0.6 * 0.5])


def test_beyond_26_labels_the_bracket_behind_tells_a_from_aa() -> None:
    tokens = [token("["), token("A", B=0.1), token("]", A=0.2)]

    found = probabilities(tokens, 30)

    assert found is not None
    # [B] has no longer one beside it, with 30 labels.
    assert (found[0], found[1], found[26]) == pytest.approx((0.9 * 0.8, 0.1, 0.9 * 0.2))


@pytest.mark.parametrize("space", [" ", "\n", "▁", "\n\n "])
def test_space_before_a_label_does_not_count(space: str) -> None:
    assert probabilities([token(space), token("[B]", **{"[A]": 0.4})], 2) == [0.4, 0.6]


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [token("Audit", **{"[A]": 0.4})],
        [token("[")],
        [token("["), token("Z")],
        [untold("[A]", -0.1)],
        [untold("[A]", -0.1, [])],
        [untold("[", -1e308), untold("", -1e308), token("A]")],
    ],
    ids=["none", "no-label", "cut", "unknown", "no-alternatives", "empty", "never"],
)
def test_where_no_label_is_told_there_is_no_distribution(tokens: list[Token]) -> None:
    assert label_scores(tokens, 3) is None


texts = st.sampled_from(
    ["[", "]", "A", "B", "[A]", "[b", " ", "▁", "AA", "", "\x00", "é"]
) | st.text(max_size=3)
alternatives = st.builds(
    Alternative, token=texts, logprob=st.floats(-1e308, 0.01) | st.floats(-9, 0)
)
answers = st.lists(
    st.builds(
        Token,
        token=texts,
        logprob=st.floats(-1e308, 0.01),
        top_logprobs=st.none() | st.lists(alternatives, max_size=5),
    ),
    max_size=6,
)


@given(answers, st.integers(1, 60))
def test_whatever_a_server_tells_the_advice_is_a_distribution(
    tokens: list[Token], count: int
) -> None:
    scores = label_scores(tokens, count)

    if scores is not None:
        told = np.exp(with_floor(scores[None], np.ones((1, count), np.bool_)))
        assert told.sum() == pytest.approx(1, abs=1e-4)
        assert (told > 0).all()


def test_a_reply_without_text_or_logprobs_says_nothing() -> None:
    reply = Reply.model_validate_json('{"choices": [{"message": {"content": null}}]}')

    assert (reply.text, reply.tokens) == ("", [])


def test_what_else_a_server_tells_is_left_aside() -> None:
    reply = Reply.model_validate_json(
        '{"choices": [{"message": {"content": "[A]", "reasoning": 1}, "logprobs": '
        '{"content": [{"token": "[A]", "logprob": 0, "bytes": [1], "top_logprobs": null}]}}], '
        '"usage": {}}'
    )

    assert reply.text == reply.tokens[0].token == "[A]"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"prompt_tokens": 17}, 17), ({"prompt_tokens": -1}, 0), ({"prompt_tokens": "9"}, 0),
     ({"prompt_tokens": 2**80}, 0), ({}, 0), ("none", 0), (None, 0)],
)  # fmt: skip
def test_tokens_are_counted_where_the_server_tells_them(usage: object, tokens: int) -> None:
    body = {"choices": [{"message": {"content": "[A]"}}], "usage": usage}

    reply = Reply.model_validate_json(json.dumps(body))

    assert (reply.text, reply.prompt_tokens) == ("[A]", tokens)
