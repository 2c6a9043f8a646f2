"""How well the embedded model agrees with the expected-reward optimum on unseen catalogues."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rayapp.lab.small_model.layout import Layout, Names, Rows
from rayapp.lab.small_model.names import made_up
from rayapp.lab.small_model.simulation import Neighbourhoods, simulate
from rayapp.lab.small_model.vocabulary import Vocabulary

SEED = 987_654_321
"""The seed of the names and neighbourhoods held out; trainings use other ones."""

SHAPES = ((1, 5), (1, 15), (2, 5), (2, 10), (2, 15), (3, 8), (3, 15), (4, 15), (5, 15), (8, 15),
          (3, 20))  # fmt: skip
"""Told types and actions of the groups."""

KNOWN_SHAPES = ((1, 15), (2, 15))
"""The same for groups with ATT&CK's names."""

FIGURES = ("alone", "misled", "silent", "valid", "kl")


def held_out() -> list[str]:
    """Made-up names that no training uses."""
    return made_up(6_000, SEED)


def evaluate(
    model: Any,  # noqa: ANN401
    vocabulary: Vocabulary,
    device: str,
    rows: int = 4096,
    shapes: tuple[tuple[int, int], ...] = SHAPES,
) -> dict[str, Any]:
    """Agreement on neighbourhoods whose best action, of several, leads by at least 0.1.

    The groups with made-up names use those held out. ATT&CK's names are in trainings, too; there
    only the neighbourhoods are new.

    Args:
        model: a causal language model with this vocabulary.
        vocabulary: of the embedded model.
        device: where the model is.
        rows: neighbourhoods of each shape.
        shapes: told types and actions of groups with made-up names.

    Returns:
        ``alone``: agreement where the predicted type's records alone give the best action;
        ``misled``: where they would give another one; ``silent``: where there are no records,
        how often the choice is one that ATT&CK names for the predicted type, if it can be;
        ``valid``: how often the likeliest token of all is one of the prompt's labels;
        ``kl``: mean divergence of the model's distribution from the target, in nats; and the
        same by shape.
    """
    names = Names.of(held_out(), vocabulary, device)
    layout = Layout(vocabulary, names)
    generator = torch.Generator(device).manual_seed(SEED)
    sums: dict[str, list[float]] = {key: [0, 0] for key in FIGURES}
    by_shape = {}
    for known, types, actions in [(False, *s) for s in shapes] + [(True, *s) for s in KNOWN_SHAPES]:
        own: dict[str, list[float]] = {key: [0, 0] for key in sums}
        for _ in range(max(1, rows // 256)):
            batch = simulate(min(rows, 256), types, actions, names.world, generator, known)
            for key, figures in judged(model, layout, batch).items():
                own[key] = [a + b for a, b in zip(own[key], figures, strict=True)]
        shape = f"{types} types, {actions} actions"
        by_shape[f"{shape}, ATT&CK's names" if known else shape] = _shares(own)
        sums = {key: [a + b for a, b in zip(sums[key], own[key], strict=True)] for key in sums}
    return {**_shares(sums), "neighbourhoods": rows * len(by_shape), "shapes": by_shape}


@torch.inference_mode()
def judged(model: Any, layout: Layout, batch: Neighbourhoods) -> dict[str, tuple[float, int]]:  # noqa: ANN401
    """Sum and count of each figure over one batch."""
    rows = layout.rows(batch)
    logits = answers_of(model, rows)
    told = weighed(logits, rows)
    likeliest = logits.argmax(dim=1, keepdim=True)
    right = told.argmax(dim=1) == rows.target.argmax(dim=1)
    divergence = (
        rows.target * (rows.target.clamp(min=1e-30).log() - told.masked_fill(~rows.listed, 0))
    ).sum(dim=1)
    silent, misled = batch.silent(), batch.misleading()
    clear = batch.clear() & ~silent
    order = (~batch.candidates).long().argsort(dim=1, stable=True)
    answers = batch.addressed[:, 0].gather(1, order) & rows.listed
    named = answers.gather(1, told.argmax(dim=1, keepdim=True))[:, 0]
    return {
        "alone": _counted(right, clear & ~misled),
        "misled": _counted(right, clear & misled),
        "silent": _counted(named, silent & answers.any(dim=1)),
        "valid": _counted(
            ((rows.labels == likeliest) & rows.listed).any(dim=1), torch.ones_like(clear)
        ),
        "kl": (float(divergence.sum()), len(divergence)),
    }


def answers_of(model: Any, rows: Rows) -> Tensor:  # noqa: ANN401
    """Logits of each row's first answer token, float32 [rows, vocabulary]."""
    hidden = model.model(input_ids=rows.ids, use_cache=False).last_hidden_state
    row = torch.arange(len(rows), device=hidden.device)
    logits: Tensor = model.lm_head(hidden[row, rows.lengths - 1])
    return logits.float()


def weighed(logits: Tensor, rows: Rows) -> Tensor:
    """Log-probabilities of each row's lines given that one is chosen, float32 [rows, lines]."""
    among = logits.gather(1, rows.labels)
    return among.masked_fill(~rows.listed, -torch.inf).log_softmax(dim=1)


def _counted(right: Tensor, among: Tensor) -> tuple[float, int]:
    return float((right & among).sum()), int(among.sum())


def _shares(sums: dict[str, list[float]]) -> dict[str, float | None]:
    return {key: round(hits / count, 4) if count else None for key, (hits, count) in sums.items()}
