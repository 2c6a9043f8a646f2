"""Simulated neighbourhoods as token ids, without going through text.

The ids equal what the tokenizer makes of the prompt's text (a test compares them); being laid
out by whole columns they can be made on the GPU, as fast as the model reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llm_actor.embedded.knowledge import attack
from llm_actor.embedded.simulation import Neighbourhoods, World
from llm_actor.embedded.vocabulary import (
    ASSISTANT,
    END,
    NONE_SEEN,
    PAD,
    USER,
    Vocabulary,
)
from llm_actor.scoring import PADDING, PROMPT, Packed, visible
from llm_actor.text import printable

NOTHING = -1
"""Fills the columns that a row does not need."""

LONGEST = 10
"""Names in training have at most this many tokens; in use they may have more."""


@dataclass(frozen=True)
class Names:
    """Names as token ids, and what is known about them.

    Attributes:
        ids: int64 [names, longest], filled up with :data:`NOTHING`.
        world: how simulations draw from them.
    """

    ids: Tensor
    world: World

    @classmethod
    def of(
        cls,
        made_up: Sequence[str],
        vocabulary: Vocabulary,
        device: torch.device | str,
    ) -> Names:
        """ATT&CK's types and actions, then the made-up names; all that are short enough."""
        knowledge = attack()
        groups = [
            [vocabulary.pieces(printable(name)) for name in group]
            for group in (knowledge.types, knowledge.actions, made_up)
        ]
        short = [[len(pieces) <= LONGEST for pieces in group] for group in groups]
        kept = [pieces for group in groups for pieces in group if len(pieces) <= LONGEST]
        addresses = knowledge.addresses[np.ix_(short[0], short[1])]
        filled = [pieces + [NOTHING] * (LONGEST - len(pieces)) for pieces in kept]
        world = World(len(kept), torch.from_numpy(addresses).to(device))
        return cls(torch.tensor(filled, device=device), world)


class Layout:
    """Builds rows for :func:`llm_actor.scoring.one_pass`.

    Args:
        vocabulary: of the embedded model.
        names: what the neighbourhoods' indices mean.

    Attributes:
        end: id of the token that ends an answer.
    """

    def __init__(self, vocabulary: Vocabulary, names: Names) -> None:
        device = names.ids.device
        self._names = names.ids
        self._phrases = torch.tensor(vocabulary.phrases, device=device)
        tables = (
            [vocabulary.first_rewards, vocabulary.further_rewards],
            vocabulary.shares,
            vocabulary.type_shares,
            vocabulary.confidences,
        )
        self._rewards, self._shares, self._type_shares, self._confidences = (
            torch.tensor(table, device=device) for table in tables
        )
        self._user, self._assistant, self.end, self._pad = map(
            vocabulary.one, (USER, ASSISTANT, END, PAD)
        )
        self._line, self._comma, self._none = map(vocabulary.one, ("\n", ", ", NONE_SEEN))

    def pack(self, batch: Neighbourhoods) -> Packed:
        """Prompts and candidates of a batch, laid out as :func:`llm_actor.scoring.pack` does."""
        prompt = _gathered(self._prompt(batch), NOTHING, left=True)[0]
        names = self._names[batch.actions].masked_fill(~batch.candidates[:, :, None], NOTHING)
        rows, count, longest = names.shape
        read, column = _gathered(names.flatten(1), NOTHING, left=False)
        owner_of = torch.arange(count, device=names.device).repeat_interleave(longest)
        owner = torch.full_like(read, PADDING)
        kept = names.flatten(1) != NOTHING
        row = torch.arange(rows, device=names.device)[:, None].expand_as(kept)
        owner[row[kept], column[kept]] = owner_of.expand_as(kept)[kept]
        length = (prompt != NOTHING).sum(dim=1)
        within = torch.arange(longest, device=names.device).repeat(count).expand_as(kept)
        position = torch.zeros_like(read)
        position[row[kept], column[kept]] = (length[:, None] + within)[kept]
        source, target = self._predictions(names, column, prompt.shape[1])
        filled = torch.arange(prompt.shape[1], device=names.device) - prompt.shape[1]
        before = (filled + length[:, None]).clamp(min=0)
        told = torch.where(prompt == NOTHING, PADDING, PROMPT)
        ids = torch.cat([prompt, read], dim=1)
        return Packed(
            ids=ids.masked_fill(ids == NOTHING, self._pad),
            positions=torch.cat([before, position], dim=1),
            visible=visible(torch.cat([told, owner], dim=1), shared=0),
            prompt_width=prompt.shape[1],
            source=source,
            target=target,
        )

    def _predictions(self, names: Tensor, column: Tensor, width: int) -> tuple[Tensor, Tensor]:
        longest = names.shape[2]
        place = column.view(names.shape) + width
        first = torch.full_like(place[:, :, :1], width - 1)
        source = torch.cat([first, place], dim=2)
        target = torch.cat([names, torch.full_like(first, NOTHING)], dim=2)
        size = (names != NOTHING).sum(dim=2)
        ending = torch.arange(longest + 1, device=names.device) == size[:, :, None]
        target = target.masked_fill(ending & (size > 0)[:, :, None], self.end)
        return source.masked_fill(target == NOTHING, width - 1), target

    def _prompt(self, batch: Neighbourhoods) -> Tensor:
        """[rows, columns] with holes."""
        rows = len(batch.types)
        seen = batch.percents.any(dim=1)
        one = torch.ones(rows, 1, dtype=torch.int64, device=batch.types.device)
        parts = [one * self._user, one * self._phrases[0]]
        parts += [self._names[batch.types[:, 0]], self._confidences[batch.confidence][:, None]]
        parts += [one * self._phrases[1], (one * self._none).masked_fill(seen[:, None], NOTHING)]
        for index in range(batch.types.shape[1]):
            share = self._type_shares[batch.percents[:, index]][:, None]
            told = torch.cat([share, self._names[batch.types[:, index]]], dim=1)
            told = torch.cat([one * self._comma, told], dim=1) if index else told
            parts.append(told.masked_fill(~seen[:, None], NOTHING))
        parts += [one * self._phrases[2], self._lines(batch)]
        parts += [one * self._phrases[3], one * self.end, one * self._assistant]
        return torch.cat(parts, dim=1)

    def _lines(self, batch: Neighbourhoods) -> Tensor:
        rows, types, count = batch.rewards.shape
        one = torch.ones(rows, count, 1, dtype=torch.int64, device=batch.types.device)
        parts = [one * self._line, self._names[batch.actions]]
        for index in range(types):
            parts.append(self._rewards[min(index, 1)][batch.rewards[:, index]][:, :, None])
            if types > 1:
                parts.append(one * self._shares[batch.percents[:, index]][:, None, None])
        lines = torch.cat(parts, dim=2)
        # Lines are joined by line ends: the first listed action has none before it.
        first = batch.candidates & (batch.candidates.cumsum(dim=1) == 1)
        lines[:, :, 0] = lines[:, :, 0].masked_fill(first, NOTHING)
        return lines.masked_fill(~batch.candidates[:, :, None], NOTHING).flatten(1)


def _gathered(sparse: Tensor, hole: int, left: bool) -> tuple[Tensor, Tensor]:
    """Closes the holes of every row; padding goes to the ``left`` or to the right.

    Returns:
        The rows, as wide as the longest needs, and each place's new column (0 for holes).
    """
    kept = sparse != hole
    count = kept.sum(dim=1, keepdim=True)
    width = int(count.max())
    column = kept.cumsum(dim=1) - 1 + (width - count if left else 0)
    column = column.masked_fill(~kept, 0)
    dense = torch.full((len(sparse), width), hole, dtype=sparse.dtype, device=sparse.device)
    row = torch.arange(len(sparse), device=sparse.device)[:, None].expand_as(kept)
    dense[row[kept], column[kept]] = sparse[kept]
    return dense, column
