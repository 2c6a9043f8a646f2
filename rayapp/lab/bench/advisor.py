"""How fast the advisor that ships is: scoring known answers against writing them.

:mod:`rayapp.lab.bench.phi` measures the paper's architecture in the same ways.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from llm_actor.embedded import EMBEDDED
from llm_actor.model_files import ModelSource
from rayapp.lab.small_model import vocabulary

if TYPE_CHECKING:
    from llm_actor.advisor import Advisor
    from llm_actor.prompts import Prompts

ROUNDS = 3
"""Rounds of which the median counts."""

Progress = Callable[[int, int], None]

Timed = tuple[str, int, Callable[[], object]]
"""A way of asking: its name, the prompts of a round, and a call that asks them."""


@dataclass(frozen=True)
class Way:
    """One way of asking.

    Attributes:
        name: what is done.
        prompts: asked in each round.
        prompts_per_second: median of :data:`ROUNDS` rounds.
        peak_gib: most memory held, in GiB: PyTorch's on a GPU; elsewhere the whole process's,
            which never falls again, so that later ways tell those before them, too.
    """

    name: str
    prompts: int
    prompts_per_second: float
    peak_gib: float


@dataclass(frozen=True)
class AdvisorSpeed:
    """What both measurements tell.

    Attributes:
        config: what was asked.
        ratios: of prompts per second, one way to another.
        ways: each way of asking.
        tokens_per_prompt: mean, as the model reads them.
        origin: where the prompts come from.
        device: the GPU's name, or ``cpu``.
        threads: of PyTorch on the CPU.
    """

    config: str
    ratios: dict[str, float]
    ways: tuple[Way, ...]
    tokens_per_prompt: float
    origin: str
    device: str
    threads: int


@dataclass(frozen=True)
class EmbeddedSpeed(AdvisorSpeed):
    """Speed of the embedded model.

    Attributes:
        token_budget: most tokens of a batch.
    """

    token_budget: int


GENERATED = 256
"""Prompts of a round that are asked in batches for written answers."""

ONE_BY_ONE = 128
"""Prompts of a round that are asked one at a time."""

FLOWS = 65_536
MERGES = 4


def measure_embedded(
    prompts: int, device: str, progress: Progress, token_budget: int | None = None
) -> EmbeddedSpeed:
    """Measures the advisor that ships: from records to distributions, text included.

    Generating, it writes a label and an end.

    Args:
        prompts: how many distinct ones.
        device: ``auto``, or PyTorch's name of one.
        progress: called with steps done and steps in all.
        token_budget: most tokens of a batch; ``None`` is what suits the device.

    Raises:
        InputError: there is no such device here.
    """
    from llm_actor.selection import AdvisorSpec, build

    asked = distinct_prompts(prompts)
    # Evenly, for the first signatures match most flows and have the longest prompts.
    some, few = (
        asked.take(np.linspace(0, prompts - 1, min(prompts, most)).astype(np.int64))
        for most in (GENERATED, ONE_BY_ONE)
    )
    spec = AdvisorSpec("embedded", device=device, token_budget=token_budget)
    scoring, writing = build(spec), build(replace(spec, mode="generate"))
    where = ModelSource(str(EMBEDDED), device=device).where()
    ways: list[Timed] = [
        ("scoring, batched", len(asked), lambda: scoring.log_probabilities(asked)),
        ("scoring, one at a time", len(few), lambda: _one_by_one(scoring, few)),
        ("generating a label, batched", len(some), lambda: writing.log_probabilities(some)),
        ("generating a label, one at a time", len(few), lambda: _one_by_one(writing, few)),
    ]
    for advisor in (scoring, writing):
        advisor.log_probabilities(few)
    found = measured(ways, where, progress)
    speed = {way.name: way.prompts_per_second for way in found}
    return EmbeddedSpeed(
        config="embedded",
        ratios={
            f"scoring to generating a label, {how}": speed[f"scoring, {how}"]
            / speed[f"generating a label, {how}"]
            for how in ("batched", "one at a time")
        }
        | {
            "scoring, batched to one at a time": speed["scoring, batched"]
            / speed["scoring, one at a time"]
        },
        ways=found,
        tokens_per_prompt=tokens_in(asked),
        origin="distinct prompts of a made-up graph over the paper's classes and actions: "
        f"{MERGES} merges of {FLOWS:,} flows, 2 % misdetected, actions drawn uniformly",
        device=device_name(where),
        threads=torch.get_num_threads(),
        token_budget=int(getattr(scoring, "token_budget", 0)),
    )


def distinct_prompts(count: int) -> Prompts:
    """So many different prompts of a made-up graph, in the order of its signatures.

    The graph has more signatures than that, for many of them have equal records.
    """
    from kg_actor import MergeKey, records_of
    from llm_actor.prompts import compose
    from rayapp.lab.bench.graph import spec_of, table_of

    signatures, merges = 4 * count, MERGES
    while True:
        spec, rng = spec_of(signatures), np.random.default_rng(signatures)
        graph = spec.new_graph()
        for number in range(merges):
            graph.merge(table_of(spec, FLOWS, rng), MergeKey("bench", number, 0))
        records = records_of(graph.counts(), spec.catalogue, spec.prior)
        prompts = compose(records, spec.catalogue)
        rows: dict[bytes, int] = {}
        for row, key in enumerate(prompts.keys()):
            rows.setdefault(key, row)
        if len(rows) >= count:
            return prompts.take(list(rows.values())[:count])
        # More signatures alone would have fewer flows each, and records that are equal.
        signatures, merges = 2 * signatures, 2 * merges


def _one_by_one(advisor: Advisor, prompts: Prompts) -> None:
    for row in range(len(prompts)):
        advisor.log_probabilities(prompts.take([row]))


def tokens_in(prompts: Prompts) -> float:
    """Mean tokens of a prompt, as the embedded model reads it."""
    from llm_actor.text import Template, messages

    tokenizer: Any = known_vocabulary().tokenizer
    texts = [
        tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        for chat in messages(prompts, Template.read())
    ]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return statistics.fmean(map(len, ids))


def known_vocabulary() -> vocabulary.Vocabulary:
    """The embedded model's tokenizer, and what its tokens mean."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(EMBEDDED, local_files_only=True)
    return vocabulary.Vocabulary(tokenizer)


def measured(ways: Sequence[Timed], where: torch.device, progress: Progress) -> tuple[Way, ...]:
    """Takes turns, so that a busy minute of the machine hits all ways alike."""
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    memory: dict[str, float] = {}
    for round_ in range(ROUNDS):
        for place, (name, _, ask) in enumerate(ways):
            if where.type == "cuda":
                torch.cuda.reset_peak_memory_stats(where)
            begun = time.perf_counter()
            # Every way ends with its results on the host, so nothing is left running.
            ask()
            seconds[name].append(time.perf_counter() - begun)
            memory[name] = max(memory.get(name, 0.0), _peak_gib(where))
            progress(round_ * len(ways) + place + 1, ROUNDS * len(ways))
    return tuple(
        Way(name, prompts, prompts / statistics.median(seconds[name]), memory[name])
        for name, prompts, _ in ways
    )


def _peak_gib(where: torch.device) -> float:
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where) / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes everywhere but on macOS.
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def device_name(where: torch.device) -> str:
    """The GPU's name, or ``cpu``."""
    return torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
