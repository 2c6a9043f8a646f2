"""Simulated neighbourhoods as token ids, without going through text.

The ids equal what the tokenizer makes of the prompt's text (a test compares them); being laid
out by whole columns they can be made on the GPU, as fast as the model reads them.

Rows are padded on the right: with causal attention nobody sees the padding, so no mask is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llm_actor.text import printable
from rayapp.lab.small_model.knowledge import attack
from rayapp.lab.small_model.simulation import Neighbourhoods, World
from rayapp.lab.small_model.vocabulary import (
    ASSISTANT,
    END,
    NONE_SEEN,
    USER,
    Vocabulary,
)

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
            vocabulary.split([printable(name) for name in group])
            for group in (knowledge.types, knowledge.actions, made_up)
        ]
        short = [[len(pieces) <= LONGEST for pieces in group] for group in groups]
        kept = [pieces for group in groups for pieces in group if len(pieces) <= LONGEST]
        addresses = knowledge.addresses[np.ix_(short[0], short[1])]
        filled = [pieces + [NOTHING] * (LONGEST - len(pieces)) for pieces in kept]
        world = World(len(kept), torch.from_numpy(addresses).to(device))
        return cls(torch.tensor(filled, device=device), world)


@dataclass(frozen=True)
class Rows:
    """Prompts of any shape, and what their answers should be.

    Attributes:
        ids: int64 [rows, width]: the prompt, ``<|assistant|>`` included, then padding of at
            least one token, which an answer may replace.
        lengths: int64 [rows], tokens of the prompt.
        lines: int64 [rows, lines], the column of each line's label, its last token.
        labels: int64 [rows, lines], the labels' token ids.
        listed: bool [rows, lines]; the other three are 0 where it is false.
        promised: float32 [rows, lines], reward that the records promise.
        target: float32 [rows, lines], the answer as probabilities.
    """

    ids: Tensor
    lengths: Tensor
    lines: Tensor
    labels: Tensor
    listed: Tensor
    promised: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Tensor, multiple: int = 1) -> Rows:
        """Some of the rows, no wider than they need but for rounding up to a multiple."""
        width = -(-(int(self.lengths[rows].max()) + 1) // multiple) * multiple
        lines = int(self.listed[rows].sum(dim=1).max())
        short = _widened(self.ids[rows, :width], width, 0)
        rest = (self.lines, self.labels, self.listed, self.promised, self.target)
        return Rows(short, self.lengths[rows], *(tensor[rows, :lines] for tensor in rest))


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of batches of different shapes, in order."""
    width = max(part.ids.shape[1] for part in parts)
    lines = max(part.lines.shape[1] for part in parts)
    ids = torch.cat([_widened(part.ids, width, 0) for part in parts])
    rest = [
        torch.cat([_widened(tensor, lines, 0) for tensor in tensors])
        for tensors in zip(
            *((p.lines, p.labels, p.listed, p.promised, p.target) for p in parts), strict=True
        )
    ]
    return Rows(ids, torch.cat([part.lengths for part in parts]), *rest)


def _widened(tensor: Tensor, width: int, value: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=value)


class Layout:
    """Builds rows of token ids.

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
        self._labels = torch.tensor(vocabulary.labels, device=device)
        tables = (
            [vocabulary.first_rewards, vocabulary.further_rewards],
            vocabulary.shares,
            vocabulary.type_shares,
            vocabulary.confidences,
        )
        self._rewards, self._shares, self._type_shares, self._confidences = (
            torch.tensor(table, device=device) for table in tables
        )
        self._user, self._assistant, self.end = map(vocabulary.one, (USER, ASSISTANT, END))
        self._comma, self._none = map(vocabulary.one, (", ", NONE_SEEN))

    def rows(self, batch: Neighbourhoods, places: Tensor | None = None) -> Rows:
        """Prompts of a batch.

        Args:
            batch: neighbourhoods.
            places: int64 [rows, lines], rising: which labels a row's lines have; by default
                the first ones, as in text.
        """
        listed = batch.candidates
        count = listed.sum(dim=1, keepdim=True)
        # Columns of candidates first, in their order.
        order = (~listed).long().argsort(dim=1, stable=True)
        kept = torch.arange(listed.shape[1], device=listed.device) < count
        if places is None:
            places = torch.arange(listed.shape[1], device=listed.device).expand(listed.shape)
        labels = self._labels[places].masked_fill(~kept, 0)
        by_action = torch.zeros_like(labels).scatter(1, order, labels)
        ids, marks = self._prompt(batch, by_action)
        lengths = (ids != NOTHING).sum(dim=1)
        return Rows(
            ids=_widened(ids.masked_fill(ids == NOTHING, 0), ids.shape[1] + 1, 0),
            lengths=lengths,
            lines=marks.gather(1, order).masked_fill(~kept, 0),
            labels=labels,
            listed=kept,
            promised=batch.promised().gather(1, order).masked_fill(~kept, 0),
            target=batch.target().gather(1, order).masked_fill(~kept, 0),
        )

    def _prompt(self, batch: Neighbourhoods, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids without holes, and the labels' columns [rows, actions]."""
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
        parts.append(one * self._phrases[2])
        before = sum(part.shape[1] for part in parts)
        lines = self._lines(batch, labels)
        parts += [lines.flatten(1), one * self._phrases[3], one * self.end, one * self._assistant]
        dense, column = _gathered(torch.cat(parts, dim=1))
        ends = before + lines.shape[2] * torch.arange(1, lines.shape[1] + 1, device=one.device) - 1
        return dense, column[:, ends]

    def _lines(self, batch: Neighbourhoods, labels: Tensor) -> Tensor:
        """[rows, actions, columns] with holes."""
        parts = [self._names[batch.actions]]
        for index in range(batch.rewards.shape[1]):
            parts.append(self._rewards[min(index, 1)][batch.rewards[:, index]][:, :, None])
            if batch.rewards.shape[1] > 1:
                share = self._shares[batch.percents[:, index]][:, None, None]
                parts.append(share.expand_as(parts[-1]))
        lines = torch.cat([*parts, labels[:, :, None]], dim=2)
        return lines.masked_fill(~batch.candidates[:, :, None], NOTHING)


def _gathered(sparse: Tensor) -> tuple[Tensor, Tensor]:
    """Closes the holes of every row, to the left.

    Returns:
        The rows, as wide as the longest needs and filled up with :data:`NOTHING`, and each
        place's new column (0 for holes).
    """
    kept = sparse != NOTHING
    column = (kept.cumsum(dim=1) - 1).masked_fill(~kept, 0)
    width = int(kept.sum(dim=1).max())
    dense = torch.full((len(sparse), width), NOTHING, dtype=sparse.dtype, device=sparse.device)
    row = torch.arange(len(sparse), device=sparse.device)[:, None].expand_as(kept)
    dense[row[kept], column[kept]] = sparse[kept]
    return dense, column
