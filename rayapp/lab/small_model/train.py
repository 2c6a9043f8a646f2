"""Trains the embedded model on simulated neighbourhoods.

Three losses are added up:

* divergence of the model's choice among a prompt's labels from the target distribution;
* error of the reward that each line promises, which linear heads read off the hidden states of
  the line's label; the heads are dropped after training;
* next-token loss of the answer: some label of the prompt, then the end.

Where the second was missing, a model of this size learnt to weigh rewards by shares only very
slowly: one answer per prompt tells little about twenty sums.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from envs.files import replacing
from rayapp.lab.small_model import model as embedded
from rayapp.lab.small_model.evaluation import evaluate, held_out, weighed
from rayapp.lab.small_model.layout import Layout, Names, Rows, joined
from rayapp.lab.small_model.names import made_up
from rayapp.lab.small_model.simulation import simulate
from rayapp.lab.small_model.vocabulary import ONE_TOKEN, Vocabulary, build

LEVELS = (
    (0.02, ((1, 2), (1, 3), (1, 5))),
    (0.05, ((1, 4), (1, 8), (2, 3), (2, 5))),
    (0.12, ((1, 8), (2, 4), (2, 8), (3, 5), (2, 12))),
    (1.00, ((1, 15), (2, 5), (2, 10), (2, 15), (3, 8), (3, 15), (4, 6), (4, 15), (5, 15),
            (8, 15), (2, 20), (3, 20))),
)  # fmt: skip
"""Up to which share of the training neighbourhoods have which told types and actions."""

PARTS = 4
"""A step's batch is made of so many parts, each of another shape."""

CHUNKS = 4
"""A step's rows are read in so many groups of similar length, so that padding is rare."""

WIDTHS = 16
"""Groups are this many tokens wide, or a multiple."""

KNOWN = 0.18
"""Share of the parts that are about ATT&CK's types and actions; 70 % of these have no records."""

SCATTERED = 0.25
"""Share of the parts that use any labels instead of the first, so that all are learnt."""

REPORT = 50
"""Steps between reports."""

COARSE = 0.7
"""Share of the training on a GPU that is done in bfloat16; the rest is float32."""

PROMISE = 1.0
"""Weight of the promised rewards' squared error, with rewards in units of :data:`UNIT`."""

UNIT = 2.5
"""The unit of rewards, where they are regressed."""

NEXT_TOKEN = 0.1
"""Weight of the answer's next-token loss."""

WEIGHTS, EVALUATION = "model.safetensors", "evaluation.json"
"""Files in a model's folder."""

FIGURES = ("kl", "promise", "answer", "wrong")


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        steps: at most so many.
        batch: neighbourhoods per step.
        minutes: at most so long, evaluation not counted in; without it, training is
            repeatable to the bit on the same machine.
        rate: highest learning rate.
        seed: of weights, names and neighbourhoods.
        device: cpu or cuda.
        fast: compile the model; worth it on a GPU.
    """

    steps: int
    batch: int
    minutes: float | None
    rate: float
    seed: int
    device: str
    fast: bool = False

    def progress(self, step: int, started: float) -> float:
        """0 at the start, 1 when steps or minutes are used up."""
        spent = (time.monotonic() - started) / (60 * self.minutes) if self.minutes else 0
        return max(step / self.steps, spent)


class Promises(nn.Module):
    """Linear heads that read a line's promised reward off its label's hidden states.

    One after each layer but the first and the last: sums that only the last layer knows come
    too late for the answer.
    """

    def __init__(self, layers: int, hidden: int) -> None:
        super().__init__()
        self.layers = range(min(2, layers), max(layers, 2 + 1))
        self.heads = nn.ModuleList(
            nn.Sequential(nn.RMSNorm(hidden), nn.Linear(hidden, 1)) for _ in self.layers
        )

    def forward(self, states: tuple[Tensor, ...], lines: Tensor) -> Tensor:
        """Promised rewards [heads, rows, lines] in units of :data:`UNIT`."""
        row = torch.arange(len(lines), device=lines.device)[:, None]
        found = [
            head(states[layer][row, lines])[:, :, 0]
            for head, layer in zip(self.heads, self.layers, strict=True)
        ]
        return torch.stack(found)


def losses(model: Any, promises: Promises, rows: Rows, end: int) -> Tensor:  # noqa: ANN401
    """Means over rows, float32 [4].

    Divergence from the target; squared error of the promised rewards; next-token loss of the
    answer; share of disagreement where the best line leads clearly (has no gradient).

    Args:
        model: a causal language model.
        promises: the auxiliary heads.
        rows: prompts; the padding behind each is overwritten by an answer.
        end: id of the token that ends an answer.
    """
    row = torch.arange(len(rows), device=rows.ids.device)
    rows.ids[row, rows.lengths] = rows.labels[row, rows.target.argmax(dim=1)]
    out = model.model(input_ids=rows.ids, use_cache=False, output_hidden_states=True)
    places = torch.stack([rows.lengths - 1, rows.lengths], dim=1)
    logits = model.lm_head(out.last_hidden_state[row[:, None], places]).float()
    choice, ending = logits[:, 0], logits[:, 1].log_softmax(dim=1)[:, end]
    among = choice.gather(1, rows.labels).masked_fill(~rows.listed, -torch.inf)
    told = weighed(choice, rows).masked_fill(~rows.listed, 0)
    divergence = (rows.target * (rows.target.clamp(min=1e-30).log() - told)).sum(dim=1)
    answer = choice.logsumexp(dim=1) - among.logsumexp(dim=1) - ending
    error = promises(out.hidden_states, rows.lines).float() - rows.promised / UNIT
    squared = (error**2 * rows.listed).sum(dim=2) / rows.listed.sum(dim=1)
    clear = leads(rows)
    wrong = (among.argmax(dim=1) != rows.target.argmax(dim=1)) & clear
    share = wrong.sum() / clear.sum().clamp(min=1)
    return torch.stack([divergence.mean(), squared.mean(), answer.mean(), share.detach()])


def leads(rows: Rows) -> Tensor:
    """Bool [rows]: the best line promises at least 0.1 more than any other."""
    if rows.listed.shape[1] < 2:
        return rows.listed[:, 0]
    best = rows.promised.masked_fill(~rows.listed, -torch.inf).topk(2, dim=1).values
    # Binary fractions of rewards that are multiples of 0.1 may fall short.
    return best[:, 0] - best[:, 1] >= 0.1 - 1e-5


@dataclass(frozen=True)
class Source:
    """Where a training's rows come from.

    Attributes:
        layout: how neighbourhoods become rows.
        names: what they are about.
        shapes: draws their shapes.
        generator: draws the rest.
    """

    layout: Layout
    names: Names
    shapes: random.Random
    generator: torch.Generator

    @classmethod
    def of(cls, plan: Plan, vocabulary: Vocabulary) -> Source:
        """Made-up names that no evaluation uses."""
        made = set(made_up(30_000, plan.seed)) - set(held_out())
        names = Names.of(sorted(made), vocabulary, plan.device)
        generator = torch.Generator(plan.device).manual_seed(plan.seed)
        shapes = random.Random(plan.seed)  # noqa: S311
        return cls(Layout(vocabulary, names), names, shapes, generator)

    def draw(self, count: int, levels: tuple[tuple[int, int], ...]) -> Rows:
        """About so many rows, the shortest first."""
        parts = []
        for _ in range(PARTS):
            types, actions = self.shapes.choice(levels)
            known = self.shapes.random() < KNOWN
            world, some = self.names.world, max(1, count // PARTS)
            batch = simulate(some, types, actions, world, self.generator, known)
            parts.append(self.layout.rows(batch, self._places(some, batch.actions.shape[1])))
        rows = joined(parts)
        return rows.take(rows.lengths.argsort(stable=True))

    def _places(self, rows: int, lines: int) -> Tensor | None:
        if self.shapes.random() >= SCATTERED:
            return None
        device = self.generator.device
        drawn = torch.rand(rows, ONE_TOKEN, generator=self.generator, device=device)
        return drawn.topk(lines, dim=1).indices.sort(dim=1).values


def level(progress: float) -> tuple[tuple[int, int], ...]:
    """The shapes of the neighbourhoods at this point of the training."""
    return next(shapes for until, shapes in LEVELS if progress <= until)


@dataclass(frozen=True)
class Trained:
    """What a training ends with.

    Attributes:
        model: a causal language model of transformers, float32.
        steps: that were really done.
    """

    model: Any
    steps: int


def train(plan: Plan, vocabulary: Vocabulary, size: embedded.Size) -> Trained:
    """A trained model; interrupted from the keyboard, the model as it is then."""
    model: Any = embedded.new(vocabulary, plan.seed, size).to(plan.device)  # type: ignore[arg-type]
    promises = Promises(size.layers, size.hidden).to(plan.device)
    source = Source.of(plan, vocabulary)
    if plan.fast:
        model.model.compile(dynamic=True)
    optimizer = torch.optim.AdamW(
        [*model.parameters(), *promises.parameters()],
        plan.rate,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    progress_of = _Progress()
    started, done = time.monotonic(), 0
    try:
        for step in range(plan.steps):
            progress = plan.progress(step, started)
            if progress >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * rate_factor(step, progress)
            rows = source.draw(plan.batch, level(progress))
            means = _backward(model, promises, rows, source.layout.end, plan.device, progress)
            torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
            optimizer.step()
            optimizer.zero_grad()
            done = step + 1
            progress_of.add(step, progress, rows, means)
    except KeyboardInterrupt:
        say(interrupted=True)
    return Trained(model, done)


def _backward(
    model: Any,  # noqa: ANN401
    promises: Promises,
    rows: Rows,
    end: int,
    device: str,
    progress: float,
) -> Tensor:
    weights = torch.tensor([1.0, PROMISE, NEXT_TOKEN, 0.0], device=device)
    total = torch.zeros(4, device=device)
    for chunk in torch.arange(len(rows), device=device).tensor_split(min(CHUNKS, len(rows))):
        with precision(device, progress):
            means = losses(model, promises, rows.take(chunk, WIDTHS), end)
        means = means * (len(chunk) / len(rows))
        torch.autograd.backward(means @ weights)
        total += means.detach()
    return total


class _Progress:
    """Says how training goes: figures of recent steps, and tokens per second since the last."""

    def __init__(self) -> None:
        self._recent: Tensor | None = None
        self._tokens: list[Tensor] = []
        self._started = self._last = time.monotonic()

    def add(self, step: int, progress: float, rows: Rows, means: Tensor) -> None:
        self._recent = means if self._recent is None else 0.95 * self._recent + 0.05 * means
        self._tokens.append(rows.lengths.sum())
        if step % REPORT == 0:
            tokens, now = float(sum(self._tokens)), time.monotonic()
            values = [round(value, 4) for value in self._recent.tolist()]
            say(
                step=step,
                **dict(zip(FIGURES, values, strict=True)),
                progress=round(progress, 3),
                seconds=round(now - self._started, 1),
                tokens_per_second=round(tokens / max(now - self._last, 1e-9)),
            )
            self._tokens, self._last = [], now


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


def train_and_judge(
    out: Path,
    plan: Plan,
    size: embedded.Size,
    rows: int,
    judging: AbstractContextManager[Any] | None = None,
) -> dict[str, Any]:
    """Trains a model, judges it on neighbourhoods held out, and writes both.

    A training that is interrupted ends early, and is judged and written all the same.

    Args:
        out: new folder of the model and ``evaluation.json``.
        plan: how to train.
        size: of the model.
        rows: neighbourhoods per shape to judge on.
        judging: entered while the model is judged.

    Returns:
        What ``evaluation.json`` holds.
    """
    vocabulary = Vocabulary(build())
    torch.backends.cuda.matmul.allow_tf32 = True
    trained = train(plan, vocabulary, size)
    # Small differences between rewards are judged in full precision.
    torch.backends.cuda.matmul.allow_tf32 = False
    with replacing(out) as temporary:
        embedded.save(trained.model, vocabulary, temporary)
        with judging or nullcontext():
            judged = judge(temporary, plan.device, rows)
        done = {"plan": asdict(plan), "steps": trained.steps, "size": asdict(size)}
        result = {**done, **judged}
        _write(temporary, result)
    return result


def judge(folder: Path, device: str, rows: int) -> dict[str, Any]:
    """Judges a model as it was written: its rounded weights, in full precision.

    Args:
        folder: of the model.
        device: cpu or cuda; neighbourhoods differ between the two.
        rows: neighbourhoods per shape.

    Returns:
        What :func:`rayapp.lab.small_model.evaluation.evaluate` tells, with the weights' SHA-256 and
        the device.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = (folder / WEIGHTS).read_bytes()
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    vocabulary = Vocabulary(tokenizer)
    told = evaluate(model.to(device).eval(), vocabulary, device, rows)
    return {"weights_sha256": sha256(weights).hexdigest(), "judged_on": device, **told}


def judge_again(folder: Path, device: str, rows: int) -> dict[str, Any]:
    """Judges a model once more, and writes the figures in place of those in its folder.

    Args:
        folder: of a model that :func:`train_and_judge` wrote.
        device: cpu or cuda.
        rows: neighbourhoods per shape.

    Returns:
        What ``evaluation.json`` holds now; how the model was trained stays as it was told.
    """
    told = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    kept = {key: told[key] for key in ("plan", "steps", "size") if key in told}
    result = {**kept, **judge(folder, device, rows)}
    _write(folder, result)
    return result


def _write(folder: Path, result: dict[str, Any]) -> None:
    (folder / EVALUATION).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
