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
from llm_actor.embedded.names import MITIGATIONS, made_up
from llm_actor.embedded.simulation import Neighbourhoods, simulate
from llm_actor.embedded.vocabulary import Vocabulary, build
from llm_actor.scoring import token_scores

SHAPES = [(types, actions) for types in (1, 2, 2, 3, 3, 4, 5) for actions in (3, 6, 10, 15, 20)]
"""Told types and actions of the neighbourhoods that one part of a batch holds."""

PARTS = 4
"""A step's batch is made of so many parts, each of another shape."""

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


def loss_of(model: Any, layout: Layout, batch: Neighbourhoods) -> Tensor:  # noqa: ANN401
    """Mean loss over a batch's neighbourhoods."""
    packed = layout.pack(batch)
    tokens = token_scores(model, packed, [])
    scores, target = tokens.sum(dim=2), batch.target()
    weighed = scores.masked_fill(~batch.candidates, -torch.inf).log_softmax(dim=1)
    distribution = -(target * weighed.masked_fill(~batch.candidates, 0)).sum(dim=1).mean()
    entropy = -(target * target.clamp(min=1e-30).log()).sum(dim=1).mean()
    # Names that have begun must be spelt to their ends, whether good answers or not.
    read = packed.target[:, :, 1:] >= 0
    inner = read & (packed.target[:, :, 1:] != layout.end)
    spelling = -(tokens[:, :, 1:] * inner).sum() / inner.sum().clamp(min=1)
    answer = -(target * scores).sum(dim=1).mean()
    return distribution - entropy + SPELLING * spelling + NEXT_TOKEN * answer


def train(plan: Plan, vocabulary: Vocabulary) -> Any:  # noqa: ANN401
    """A trained model."""
    model: Any = embedded.new(vocabulary, plan.seed)
    model.to(plan.device)
    known = {*MITIGATIONS, *made_up(30_000, plan.seed)} - set(held_out())
    names = Names.of(sorted(known), vocabulary, plan.device)
    layout, shapes = Layout(vocabulary, names), random.Random(plan.seed)  # noqa: S311
    generator = torch.Generator(plan.device).manual_seed(plan.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), plan.rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    started, recent = time.monotonic(), 0.0
    for step in range(plan.steps):
        progress = plan.progress(step, started)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * rate_factor(step, progress)
        total = torch.zeros((), device=plan.device)
        for types, actions in shapes.sample(SHAPES, PARTS):
            part = simulate(plan.batch // PARTS, types, actions, len(names), generator)
            with precision(plan.device):
                loss = loss_of(model, layout, part) / PARTS
            torch.autograd.backward(loss)
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        recent = 0.95 * recent + 0.05 * float(total) if step else float(total)
        if step % 50 == 0:
            say(step=step, loss=round(recent, 4), seconds=round(time.monotonic() - started))
    return model


def rate_factor(step: int, progress: float) -> float:
    """Linear warm-up over 100 steps, then half a cosine down to 1 %."""
    return min(1.0, (step + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


def precision(device: str) -> AbstractContextManager[Any]:
    """Mixed precision where the hardware is made for it."""
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


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
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--rate", type=float, default=1.5e-3)
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
