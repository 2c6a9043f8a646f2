"""How well the embedded model agrees with the expected-reward optimum on unseen catalogues."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llm_actor.embedded.layout import Layout, Names
from llm_actor.embedded.names import made_up
from llm_actor.embedded.simulation import Neighbourhoods, simulate
from llm_actor.embedded.vocabulary import Vocabulary
from llm_actor.scoring import one_pass

SEED = 987_654_321
"""Of the names and neighbourhoods held out; trainings use other ones."""

SHAPES = ((1, 5), (1, 15), (2, 5), (2, 10), (2, 15), (3, 8), (3, 15), (4, 15), (5, 15), (3, 20))
"""Told types and actions of the groups."""

KNOWN_SHAPES = ((1, 15), (2, 15))
"""The same for groups with ATT&CK's names."""

FIGURES = ("alone", "misled", "silent", "kl")


def held_out() -> list[str]:
    """Names that no training uses."""
    return made_up(6_000, SEED)


def evaluate(model: Any, vocabulary: Vocabulary, device: str, rows: int = 4096) -> dict[str, Any]:  # noqa: ANN401
    """Agreement on neighbourhoods whose best action leads by at least 0.1.

    Returns:
        ``alone``: agreement where the predicted type's records alone give the best action;
        ``misled``: where they would give another one; ``silent``: where there are no records,
        how often the choice is one that ATT&CK names for the predicted type, if it can be;
        ``kl``: mean divergence of the model's distribution from the target, in nats; and the
        same by shape.
    """
    names = Names.of(held_out(), vocabulary, device)
    layout = Layout(vocabulary, names)
    generator = torch.Generator(device).manual_seed(SEED)
    sums: dict[str, list[float]] = {key: [0, 0] for key in FIGURES}
    shapes = {}
    for known, types, actions in [(False, *s) for s in SHAPES] + [(True, *s) for s in KNOWN_SHAPES]:
        own: dict[str, list[float]] = {key: [0, 0] for key in sums}
        for _ in range(max(1, rows // 256)):
            batch = simulate(min(rows, 256), types, actions, names.world, generator, known)
            for key, figures in judged(model, layout, batch).items():
                own[key] = [a + b for a, b in zip(own[key], figures, strict=True)]
        shape = f"{types} types, {actions} actions"
        shapes[f"{shape}, ATT&CK's names" if known else shape] = _shares(own)
        sums = {key: [a + b for a, b in zip(sums[key], own[key], strict=True)] for key in sums}
    return {**_shares(sums), "neighbourhoods": rows * len(shapes), "shapes": shapes}


@torch.inference_mode()
def judged(model: Any, layout: Layout, batch: Neighbourhoods) -> dict[str, tuple[float, int]]:  # noqa: ANN401
    """Sum and count of each figure over one batch."""
    scores = one_pass(model, layout.pack(batch), []).masked_fill(~batch.candidates, -torch.inf)
    target = batch.target()
    right = scores.argmax(dim=1) == target.argmax(dim=1)
    weighed = scores.log_softmax(dim=1).masked_fill(~batch.candidates, 0)
    divergence = (target * (target.clamp(min=1e-30).log() - weighed)).sum(dim=1)
    silent, misled = batch.silent(), batch.misleading()
    clear = batch.clear() & ~silent
    answers = batch.addressed[:, 0] & batch.candidates
    named = answers.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]
    return {
        "alone": _counted(right, clear & ~misled),
        "misled": _counted(right, clear & misled),
        "silent": _counted(named, silent & answers.any(dim=1)),
        "kl": (float(divergence.sum()), len(divergence)),
    }


def _counted(right: Tensor, among: Tensor) -> tuple[float, int]:
    return float((right & among).sum()), int(among.sum())


def _shares(sums: dict[str, list[float]]) -> dict[str, float | None]:
    return {key: round(hits / count, 4) if count else None for key, (hits, count) in sums.items()}
