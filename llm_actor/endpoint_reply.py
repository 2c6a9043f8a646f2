"""Parses an OpenAI-compatible server's reply to a chat: a text, and perhaps log-probabilities.

Replies are not trusted: their shapes and types are checked, and that numbers are finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from llm_actor.labels import labels

# Some servers round, so that a certain token's probability is a little above 1.
_LogProbability = Annotated[float, Field(le=0.01, allow_inf_nan=False)]

_MOST_TOKENS = 2**31


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Alternative(_Part):
    """A token that could have stood at a place, and its natural log-probability there."""

    token: str
    logprob: _LogProbability


class Token(Alternative):
    """A generated token and the likeliest at its place."""

    top_logprobs: list[Alternative] | None = None


class _Logprobs(_Part):
    content: list[Token] | None = None


class _Message(_Part):
    content: str | None = None


class _Choice(_Part):
    message: _Message
    logprobs: _Logprobs | None = None


class Reply(_Part):
    """A chat completion, as far as it is of interest here; at least one choice."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    # A server that counts in its own way answers all the same.
    usage: Any = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt; 0 where the server does not tell, or tells nonsense."""
        count = self.usage.get("prompt_tokens") if isinstance(self.usage, dict) else None
        return count if isinstance(count, int) and 0 <= count < _MOST_TOKENS else 0

    @property
    def text(self) -> str:
        """What the model wrote; empty where it wrote nothing."""
        return self.choices[0].message.content or ""

    @property
    def tokens(self) -> list[Token]:
        """The generated tokens; none where the server does not tell."""
        logprobs = self.choices[0].logprobs
        return (logprobs.content or []) if logprobs else []


def label_scores(tokens: Sequence[Token], count: int) -> NDArray[np.float64] | None:
    """Log-probabilities of the labels, from the first token on that tells them apart.

    A tokenizer may split a label: where the first token is a bracket whatever the answer, the
    alternatives at the second one decide. Alternatives that leave several labels open, off the
    way that the answer took, are left out: where they lead is not known.

    Args:
        tokens: the answer's, with alternatives.
        count: labels in the prompt.

    Returns:
        float64 [count], not normalised; ``-inf`` for labels that are not among the likeliest.
        ``None`` where the answer does not begin with a label, or has no alternatives.
    """
    known = labels(count)
    scores = np.full(count, -np.inf)
    begun, so_far = "", 0.0
    for token in tokens:
        for text, logprob in {a.token: a.logprob for a in token.top_logprobs or []}.items():
            meant = _open(begun + text, known)
            if len(meant) == 1:
                scores[meant] = np.logaddexp(scores[meant], so_far + logprob)
        begun, so_far = begun + token.token, so_far + token.logprob
        still = _open(begun, known)
        if len(still) < 2:
            return scores if still and np.isfinite(scores).any() else None
    return None


def _open(text: str, known: Sequence[str]) -> list[int]:
    """The labels that an answer with this beginning may have or has."""
    # SentencePiece writes a blank as U+2581.
    begun = "".join(text.replace("\u2581", " ").split()).upper()
    return [
        i for i, label in enumerate(known) if label.startswith(begun) or begun.startswith(label)
    ]
