"""Trains the embedded model on simulated neighbourhoods.

``python -m llm_actor.embedded.train --out DIR`` writes the model and ``evaluation.json``.
Candidates are scored in training just as they are in use: by their log-likelihoods in one
forward pass. The loss is the cross-entropy of the distribution over candidates to the target,
plus small shares of next-token losses, so that the model can spell names and generate, too.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_actor.embedded import model as embedded
from llm_actor.embedded.evaluation import evaluate, held_out
from llm_actor.embedded.layout import Layout, Names
from llm_actor.embedded.names import made_up
from llm_actor.embedded.simulation import Neighbourhoods, simulate
from llm_actor.embedded.vocabulary import Vocabulary, build
from llm_actor.scoring import token_scores

SHAPES = [(types, actions) for types in (1, 2, 2, 3, 3, 4, 5) for actions in (3, 6, 10, 15, 20)]
"""Told types and actions of the neighbourhoods that one part of a batch holds."""

PARTS = 4
"""A step's batch is made of so many parts, each of another shape."""

KNOWN = 0.15
"""Share of the parts that are about ATT&CK's types and actions."""

REPORT = 50
"""Steps between reports."""

COARSE = 0.6
"""Share of the training on a GPU that is done in bfloat16; the rest is float32."""

NEXT_TOKEN = 0.05
"""Weight of the plain next-token loss on answers drawn from the target."""

SPELLING = 0.5
"""Weight of the next-token loss within the names of all candidates."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        steps: at most so many.
        batch: neighbourhoods per step.
        minutes: at most so long, evaluation not counted in.
        rate: highest learning rate.
        seed: of weights, names and neighbourhoods.
        device: cpu or cuda.
    """

    steps: int
    batch: int
    minutes: float
    rate: float
    seed: int
    device: str

    def progress(self, step: int, started: float) -> float:
        """0 at the start, 1 when steps or minutes are used up."""
        return max(step / self.steps, (time.monotonic() - started) / (60 * self.minutes))


def losses(model: Any, layout: Layout, batch: Neighbourhoods) -> Tensor:  # noqa: ANN401
    """Means over a batch's neighbourhoods, float32 [4].

    Divergence of the distribution over candidates from the target; next-token loss within the
    candidates' names; next-token loss of answers drawn from the target; share of disagreement
    where the best candidate leads clearly (has no gradient).
    """
    packed = layout.pack(batch)
    tokens = token_scores(model, packed, [])
    scores, target = tokens.sum(dim=2), batch.target()
    masked = scores.masked_fill(~batch.candidates, -torch.inf)
    weighed = masked.log_softmax(dim=1).masked_fill(~batch.candidates, 0)
    divergence = (target * (target.clamp(min=1e-30).log() - weighed)).sum(dim=1).mean()
    # Names that have begun must be spelt to their ends, whether good answers or not.
    read = packed.target[:, :, 1:] >= 0
    inner = read & (packed.target[:, :, 1:] != layout.end)
    spelling = -(tokens[:, :, 1:] * inner).sum() / inner.sum().clamp(min=1)
    answer = -(target * scores).sum(dim=1).mean()
    clear = batch.clear()
    wrong = (masked.argmax(dim=1) != target.argmax(dim=1)) & clear
    return torch.stack([divergence, spelling, answer, wrong.sum() / clear.sum().clamp(min=1)])


def train(plan: Plan, vocabulary: Vocabulary) -> Any:  # noqa: ANN401
    """A trained model."""
    model: Any = embedded.new(vocabulary, plan.seed)
    model.to(plan.device)
    made = set(made_up(30_000, plan.seed)) - set(held_out())
    names = Names.of(sorted(made), vocabulary, plan.device)
    layout, shapes = Layout(vocabulary, names), random.Random(plan.seed)  # noqa: S311
    generator = torch.Generator(plan.device).manual_seed(plan.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), plan.rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    weights = torch.tensor([1.0, SPELLING, NEXT_TOKEN, 0.0], device=plan.device)
    started, recent = time.monotonic(), torch.zeros(4, device=plan.device)
    for step in range(plan.steps):
        progress = plan.progress(step, started)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * rate_factor(step, progress)
        total = torch.zeros(4, device=plan.device)
        for types, actions in shapes.sample(SHAPES, PARTS):
            known = shapes.random() < KNOWN
            part = simulate(
                plan.batch // PARTS, types, actions, names.world, generator, known=known
            )
            with precision(plan.device, progress):
                parts = losses(model, layout, part) / PARTS
            torch.autograd.backward(parts @ weights)
            total += parts.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        recent = 0.95 * recent + 0.05 * total if step else total
        if step % REPORT == 0:
            kl, spelling, answer, wrong = (round(value, 4) for value in recent.tolist())
            seconds = round(time.monotonic() - started)
            say(step=step, kl=kl, spelling=spelling, answer=answer, wrong=wrong, seconds=seconds)
    return model


def rate_factor(step: int, progress: float) -> float:
    """Linear warm-up over 100 steps, then half a cosine down to 1 %."""
    return min(1.0, (step + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def precision(device: str, progress: float) -> AbstractContextManager[Any]:
    """Mixed precision on a GPU, until small differences between rewards are what is left."""
    coarse = device == "cuda" and progress < COARSE
    return torch.autocast(device, torch.bfloat16, enabled=coarse)


def say(**values: object) -> None:
    """One JSON line to standard error."""
    sys.stderr.write(json.dumps(values) + "\n")
    sys.stderr.flush()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = vars(parser.parse_args())
    out: Path = options.pop("out")
    plan, vocabulary = Plan(**options), Vocabulary(build())
    torch.backends.cuda.matmul.allow_tf32 = True
    model = train(plan, vocabulary)
    torch.backends.cuda.matmul.allow_tf32 = False
    embedded.save(model, vocabulary, out)
    # What is shipped are the rounded weights, so those are judged.
    result = {"plan": options, **evaluate(model.float(), vocabulary, plan.device)}
    (out / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
