"""Simulated graph neighbourhoods: what the embedded model is trained and tested on.

Nothing of the environment is in here: neither the paper's classes nor its ranking. Each
neighbourhood has its own types, actions, rankings, error rates and gaps in the records.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rayapp.lab.small_model.vocabulary import UNTRIED

TEMPERATURE = 0.25
"""The temperature of the target distribution, in reward units; the graph reader's."""

ADVISED = 1.0
"""Reward that an untried action promises where no record speaks but ATT&CK does."""


@dataclass(frozen=True)
class World:
    """Names to draw from: known types, then known actions, then made-up ones.

    Attributes:
        names: how many there are in all.
        addresses: bool [known types, known actions].
    """

    names: int
    addresses: Tensor


@dataclass(frozen=True)
class Neighbourhoods:
    """A batch with the same number of told types and listed actions in each row.

    Attributes:
        types: int64 [rows, types], names' indices, the predicted type first.
        actions: int64 [rows, actions], names' indices.
        percents: int64 [rows, types], shares of true types; all 0 where no flow was seen.
        confidence: int64 [rows], percent.
        rewards: int64 [rows, types, actions], tenths above -5.0, or ``UNTRIED``.
        candidates: bool [rows, actions].
        addressed: bool [rows, types, actions], what ATT&CK says answers the type.
    """

    types: Tensor
    actions: Tensor
    percents: Tensor
    confidence: Tensor
    rewards: Tensor
    candidates: Tensor
    addressed: Tensor

    def silent(self) -> Tensor:
        """Bool [rows]: no candidate has a record."""
        return ((self.rewards == UNTRIED) | ~self.candidates[:, None]).flatten(1).all(dim=1)

    def promised(self) -> Tensor:
        """Expected rewards as the graph reader has them, float32 [rows, actions].

        Where the records are silent, what ATT&CK names promises :data:`ADVISED` instead of 0.
        """
        shares = self.percents.float()
        shares[:, 0] += shares.sum(dim=1) == 0
        shares = shares / shares.sum(dim=1, keepdim=True)
        earned = (self.rewards.float() - 50) / 10
        earned = earned.masked_fill(self.rewards == UNTRIED, 0)
        earned = torch.where(self.silent()[:, None, None], ADVISED * self.addressed, earned)
        return (shares[:, :, None] * earned).sum(dim=1)

    def target(self) -> Tensor:
        """What to answer, as probabilities, float32 [rows, actions]."""
        scores = self.promised() / TEMPERATURE
        return scores.masked_fill(~self.candidates, -torch.inf).softmax(dim=1)

    def clear(self) -> Tensor:
        """Bool [rows]: the best candidate promises at least 0.1 more than the second best.

        A single candidate is no choice, and nothing that an answer could be right about.
        """
        if self.candidates.shape[1] < 2:
            return torch.zeros(len(self.types), dtype=torch.bool, device=self.types.device)
        promised = self.promised().masked_fill(~self.candidates, -torch.inf)
        best = promised.topk(2, dim=1).values
        # The rewards are multiples of 0.001 before division; binary fractions may fall short.
        return (self.candidates.sum(dim=1) > 1) & (best[:, 0] - best[:, 1] >= 0.1 - 1e-5)

    def misleading(self) -> Tensor:
        """Bool [rows]: by the predicted type's records alone another candidate would be best."""
        own = self.rewards[:, 0].masked_fill(self.rewards[:, 0] == UNTRIED, 50)
        own = own.masked_fill(~self.candidates, -1)
        promised = self.promised().masked_fill(~self.candidates, -torch.inf)
        chosen = own.gather(1, promised.argmax(dim=1, keepdim=True))[:, 0]
        return chosen < own.max(dim=1).values


def simulate(
    rows: int,
    types: int,
    actions: int,
    world: World,
    generator: torch.Generator,
    known: bool = False,
) -> Neighbourhoods:
    """Draws neighbourhoods.

    Args:
        rows: how many.
        types: told types of each: the predicted one and those it is confused with.
        actions: actions of each catalogue, before filtering.
        world: what names there are.
        generator: of the device that the tensors shall be on.
        known: with the types and actions of ATT&CK, mostly without records, instead of
            made-up ones.
    """
    draw = _Draw(generator)
    percents = _percents(draw, rows, types)
    rewards = _rewards(draw, rows, types, actions)
    seen = 10 ** (5 * draw.uniform(rows))
    right = percents[:, 0] / percents.sum(dim=1).clamp(min=1)
    confidence = torch.where(percents.any(dim=1), (1 + right * seen) / (2 + seen), 0.5)
    if known:
        rewards = rewards.masked_fill(draw.chance(0.7, rows, 1, 1), UNTRIED)
        told, listed = _known_names(draw, rows, types, actions, world)
        addressed = world.addresses[told[:, :, None], listed[:, None, :]]
        listed = listed + len(world.addresses)
    else:
        chosen = _names(draw, rows, types + actions, world)
        told, listed = chosen[:, :types], chosen[:, types:]
        addressed = torch.zeros_like(rewards, dtype=torch.bool)
    return Neighbourhoods(
        types=told,
        actions=listed,
        percents=percents,
        confidence=(100 * confidence).round().long(),
        rewards=rewards,
        candidates=_candidates(percents, rewards),
        addressed=addressed,
    )


@dataclass(frozen=True)
class _Draw:
    generator: torch.Generator

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def chance(self, probability: float, *shape: int) -> Tensor:
        return self.uniform(*shape) < probability


def _names(draw: _Draw, rows: int, count: int, world: World) -> Tensor:
    """Different names in each row; in some rows neighbours in the alphabet, which look alike."""
    before = sum(world.addresses.shape)
    names = world.names - before
    window = torch.where(draw.chance(0.7, rows), names, min(4 * count, names))[:, None]
    start = (draw.uniform(rows, 1) * (names - window + 1)).long()
    # Strides that are drawn from a window of the list, one name from each stride.
    place = (torch.arange(count, device=window.device) + draw.uniform(rows, count)) / count
    picked = start + (place * window).long().clamp(max=names - 1)
    return before + picked.gather(1, draw.uniform(rows, count).argsort(dim=1))


def _known_names(
    draw: _Draw, rows: int, types: int, actions: int, world: World
) -> tuple[Tensor, Tensor]:
    """Known types and actions; in most rows some of the actions answer the predicted type."""
    count, listed = world.addresses.shape
    told = draw.uniform(rows, count).topk(types, dim=1).indices
    answers = world.addresses[told[:, 0]] & draw.chance(0.5, rows, listed)
    drawn = draw.uniform(rows, listed) + answers * draw.chance(0.8, rows, 1)
    chosen = drawn.topk(min(actions, listed), dim=1).indices
    return told, chosen.gather(1, draw.uniform(rows, chosen.shape[1]).argsort(dim=1))


def _percents(draw: _Draw, rows: int, types: int) -> Tensor:
    if types == 1:
        whole = 100 - (3 * draw.uniform(rows, 1) ** 2).long()
        return whole.masked_fill(draw.chance(0.25, rows, 1), 0)
    spread = torch.tensor([0.5, 1.0, 2.0], device=draw.generator.device)
    sharp = spread[(3 * draw.uniform(rows, 1)).long()]
    weight = (-torch.log(draw.uniform(rows, types).clamp(1e-6, 1 - 1e-6))) ** sharp
    favour = torch.where(draw.chance(0.5, rows), 1 + 9 * draw.uniform(rows), 1.0)
    weight[:, 0] *= favour.masked_fill(draw.chance(0.03, rows), 0)
    percents = (100 * weight / weight.sum(dim=1, keepdim=True)).round().long()
    others = percents[:, 1:].clamp(min=1).sort(dim=1, descending=True).values
    return torch.cat([percents[:, :1], others], dim=1)


def _rewards(draw: _Draw, rows: int, types: int, actions: int) -> Tensor:
    """Most rows from rankings and error rates; the rest without any order, for exactness."""
    ranked = _ranked(draw, rows, types, actions)
    # Some types are answered like the predicted one.
    alike = draw.chance(0.25, rows, types, 1)
    ranked = torch.where(alike, ranked[:, :1], ranked)
    error = draw.uniform(rows, types, 1) ** 2 / 2
    error = error.masked_fill(draw.chance(0.5, rows, types, 1), 0)
    noise = 0.2 * draw.normal(rows, types, actions) * draw.chance(0.3, rows, 1, 1)
    mean = (1 - error) * ranked + error * _ranked(draw, rows, types, actions) + noise
    anything = 10 * draw.uniform(rows, types, actions) - 5
    mean = torch.where(draw.chance(0.35, rows, 1, 1), anything, mean)
    tenths = (10 * mean.clamp(-5, 5)).round().long() + 50
    gaps = draw.uniform(rows, 1, 1).masked_fill(draw.chance(0.5, rows, 1, 1), 0)
    untried = draw.uniform(rows, types, actions) < gaps
    return tenths.masked_fill(untried, UNTRIED)


def _ranked(draw: _Draw, rows: int, types: int, actions: int) -> Tensor:
    """Eq. 3 for random rankings of up to six actions: 5, 4, ... for those, -5 for the rest."""
    rank = draw.uniform(rows, types, actions).argsort(dim=2).float()
    length = 1 + (6 * draw.uniform(rows, types, 1)).floor()
    return torch.where(rank < length, 5 - rank, -5)


def _candidates(percents: Tensor, rewards: Tensor) -> Tensor:
    """The filter of :func:`kg_actor.filtering.open_actions`."""
    told = percents[:, 1:, None] > 0
    supported = (rewards[:, 1:] > 50) & (rewards[:, 1:] != UNTRIED) & told
    candidates = (rewards[:, 0] >= 50) | supported.any(dim=1)
    return candidates | ~candidates.any(dim=1, keepdim=True)
