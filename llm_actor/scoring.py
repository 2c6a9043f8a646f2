"""Log-likelihoods of known answers: one forward pass weighs all candidates of a prompt.

A row of the batch is one prompt followed by all of its candidates. Each candidate sees the
prompt and itself, never another candidate, and counts its positions from the prompt's end:

    [ beginning (KV cache) ][ padding | rest of the prompt ][ candidate 1 | candidate 2 | ... ]

The beginning that all prompts share is computed once. Prompts end in the same column, so the
model's own forward pass gives just the logits that are needed.

A candidate's score is the sum of its tokens' log-probabilities, and is not divided by length: the
sum is the log-probability that the answer begins so, and where no candidate is the beginning of
another these add up to 1 at most. Averages per token do not, and would favour long candidates
whose later tokens follow from the first.

A candidate's last token is predicted and never read. So candidates of one token each, as labels
are for the embedded model, take no columns: all are read off the prompt's last position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llm_actor.budget import Budget

TokenIds = Sequence[int]


@dataclass(frozen=True)
class Question:
    """One prompt and its possible answers, as token ids.

    Attributes:
        prompt: at least one token.
        candidates: at least one; each continues the prompt with at least one token.
    """

    prompt: TokenIds
    candidates: Sequence[TokenIds]

    @property
    def tokens(self) -> int:
        """Tokens that its row takes without padding; an answer's last one is never read."""
        return len(self.prompt) + sum(len(c) - 1 for c in self.candidates)


class Scorer:
    """Scores questions with a causal language model of transformers.

    Args:
        model: its attention must accept 4-D masks: ``sdpa`` or ``eager``.
        token_budget: most tokens of a batch, padding included; a longer prompt goes alone. A
            :class:`Budget` is shared with whoever else spends it.
    """

    def __init__(self, model: Any, token_budget: int | Budget = 16_384) -> None:  # noqa: ANN401
        self._model = model
        self._budget = token_budget if isinstance(token_budget, Budget) else Budget(token_budget)
        self._beginning: tuple[TokenIds, list[tuple[Tensor, Tensor]]] = ((), [])

    @torch.inference_mode()
    def score(self, questions: Sequence[Question]) -> list[NDArray[np.float32]]:
        """For each question the log-likelihoods of its candidates (natural, float32)."""
        if not questions:
            return []
        shared = self._keep_beginning([q.prompt for q in questions])
        scores: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(questions)

        def scored(rows: list[int]) -> None:
            packed = pack([questions[row] for row in rows], shared, self._model.device)
            sums = one_pass(self._model, packed, self._beginning[1]).cpu().numpy()
            for row, line in zip(rows, sums, strict=True):
                scores[row] = line[: len(questions[row].candidates)]

        self._budget.spend([q.tokens - shared for q in questions], scored)
        return scores

    def _keep_beginning(self, prompts: Sequence[TokenIds]) -> int:
        common = common_prefix(prompts)
        # Each row must keep a token of its own, from which the first answer token follows.
        length = min(len(common), min(map(len, prompts)) - 1)
        known = self._beginning[0]
        if not known or list(known) != list(common[: len(known)]) or len(known) > length:
            self._beginning = (common[:length], key_values(self._model, common[:length]))
        return len(self._beginning[0])


def common_prefix(sequences: Sequence[TokenIds]) -> list[int]:
    """The longest beginning that all sequences share."""
    first, last = min(map(list, sequences)), max(map(list, sequences))
    length = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[:length]


@dataclass(frozen=True)
class Packed:
    """A batch of rows, as tensors on the model's device.

    Attributes:
        ids: int64 [rows, width], what the model reads: rests of prompts, then candidates.
        positions: int64 [rows, width].
        visible: bool [rows, width, beginning + width], what each token may attend to.
        prompt_width: columns of the prompts; the last one holds every prompt's last token.
        source: int64 [rows, candidates, longest]: the column whose logits predict the token.
        target: int64 [rows, candidates, longest]: the token predicted; -1 is padding.
    """

    ids: Tensor
    positions: Tensor
    visible: Tensor
    prompt_width: int
    source: Tensor
    target: Tensor


def pack(questions: Sequence[Question], shared: int, device: torch.device | str) -> Packed:
    """Lays questions out in rows.

    Args:
        questions: their prompts agree in the first ``shared`` tokens and are longer than that.
        shared: tokens of the beginning, left out here.
        device: where the tensors go.
    """
    prompt_width = max(len(q.prompt) - shared for q in questions)
    width = prompt_width + max(sum(len(c) - 1 for c in q.candidates) for q in questions)
    longest = max(len(c) for q in questions for c in q.candidates)
    shape = (len(questions), max(len(q.candidates) for q in questions), longest)
    ids, positions, owner = (np.zeros((len(questions), width), np.int64) for _ in range(3))
    source, target = np.full(shape, prompt_width - 1), np.full(shape, -1)
    owner[:] = PADDING
    for row, question in enumerate(questions):
        own = question.prompt[shared:]
        place = slice(prompt_width - len(own), prompt_width)
        ids[row, place], owner[row, place] = own, PROMPT
        positions[row, place] = np.arange(shared, len(question.prompt))
        column = prompt_width
        for index, candidate in enumerate(question.candidates):
            read = len(candidate) - 1
            place = slice(column, column + read)
            ids[row, place], owner[row, place] = candidate[:-1], index
            positions[row, place] = len(question.prompt) + np.arange(read)
            source[row, index, 0] = prompt_width - 1
            source[row, index, 1 : read + 1] = np.arange(column, column + read)
            target[row, index, : read + 1] = candidate
            column += read
    at = [torch.from_numpy(a).to(device) for a in (ids, positions, owner, source, target)]
    return Packed(at[0], at[1], visible(at[2], shared), prompt_width, at[3], at[4])


PROMPT, PADDING = -1, -2
"""Who owns a column: the prompt, nobody, or the candidate of that index."""


def visible(owner: Tensor, shared: int) -> Tensor:
    """Who may attend to whom: bool [rows, width, shared + width] from each column's owner.

    Everybody sees the beginning and the prompt; a candidate sees itself besides; nobody looks
    ahead. Padding looks at whatever comes first: nobody reads it, but a row of the mask with
    nothing in it would give NaN.
    """
    width = owner.shape[1]
    behind = torch.ones(width, width, dtype=torch.bool, device=owner.device).tril()
    query, key = owner[:, :, None], owner[:, None, :]
    own = behind & ((key == PROMPT) | (key == query)) & (key != PADDING)
    own |= torch.eye(width, dtype=torch.bool, device=owner.device) & (query == PADDING)
    return torch.nn.functional.pad(own, (shared, 0), value=True)


def key_values(model: Any, beginning: TokenIds) -> list[tuple[Tensor, Tensor]]:  # noqa: ANN401
    """Keys and values of the shared beginning, by layer, each [1, heads, tokens, size]."""
    from transformers import DynamicCache

    if not beginning:
        return []
    ids = torch.tensor([list(beginning)], device=model.device)
    cache = DynamicCache()
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    layers: list[Any] = list(cache.layers)
    return [(layer.keys, layer.values) for layer in layers]


def one_pass(model: Any, packed: Packed, beginning: list[tuple[Tensor, Tensor]]) -> Tensor:  # noqa: ANN401
    """Log-likelihoods float32 [rows, candidates]; 0 where a row has fewer candidates."""
    return token_scores(model, packed, beginning).sum(dim=2)


def token_scores(model: Any, packed: Packed, beginning: list[tuple[Tensor, Tensor]]) -> Tensor:  # noqa: ANN401
    """Log-probabilities float32 [rows, candidates, longest]; 0 where there is no token."""
    from transformers import DynamicCache

    rows = len(packed.ids)
    cache = None
    if beginning:
        cache = DynamicCache([(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1))
                              for k, v in beginning])  # fmt: skip
    dtype = model.dtype
    mask = torch.zeros(packed.visible.shape, dtype=dtype, device=packed.ids.device)
    mask = mask.masked_fill_(~packed.visible, torch.finfo(dtype).min)
    kept = packed.ids.shape[1] - packed.prompt_width + 1
    logits = model(
        input_ids=packed.ids,
        position_ids=packed.positions,
        attention_mask=mask[:, None],
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=kept,
    ).logits
    return likelihoods(logits, packed.source - (packed.prompt_width - 1), packed.target)


def likelihoods(logits: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Log-probabilities of given tokens, float32 [rows, candidates, longest].

    Args:
        logits: [rows, columns, vocabulary].
        source: int64 [rows, candidates, longest], the column that predicts each token.
        target: int64, the same shape, the token; -1 where there is none.
    """
    spread = torch.logsumexp(logits.float(), dim=2)
    flat, row = source.flatten(1), torch.arange(len(logits), device=logits.device)[:, None]
    found = logits[row, flat, target.flatten(1).clamp(min=0)].float() - spread.gather(1, flat)
    return found.view(target.shape).masked_fill(target < 0, 0)
