"""How fast advisors with a language model are: scoring known answers against writing them.

:func:`measure_embedded` asks the model that ships, through the advisor itself.
:func:`measure_phi` asks the full architecture of the paper's model with random weights, which
are as fast as trained ones and need no download; it works on token ids.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from llm_actor.budget import batches
from llm_actor.embedded import vocabulary
from llm_actor.model_files import ModelSource
from llm_actor.scoring import Question, Scorer

if TYPE_CHECKING:
    from llm_actor.advisor import Advisor
    from llm_actor.prompts import Prompts

PROMPTS = 1_451
"""The signatures of the paper's tree (section IV), had each of them a prompt of its own."""

ROUNDS = 3
"""Rounds of which the median counts."""

Progress = Callable[[int, int], None]


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
    """Of the embedded model.

    Attributes:
        agreement: share of the clear prompts where the likeliest action is the one that the
            records promise most for; ``None`` where no prompt is clear.
        clear: prompts with a choice whose best action leads by :data:`LEAD` or more.
        token_budget: most tokens of a batch.
    """

    token_budget: int
    agreement: float | None
    clear: int


@dataclass(frozen=True)
class PhiSpeed(AdvisorSpeed):
    """Of the paper's architecture.

    Attributes:
        layers: of the model; the whole has 32.
        parameters: of the model.
        shared_tokens: with which every prompt begins.
        new_tokens: written per answer that names an action.
        label_tokens: written per answer that is a label.
    """

    layers: int
    parameters: int
    shared_tokens: int
    new_tokens: int
    label_tokens: int


# The embedded model.

GENERATED = 256
"""Prompts of a round that are asked in batches for written answers."""

ONE_BY_ONE = 128
"""Prompts of a round that are asked one at a time."""

LEAD = 0.1
"""Reward by which the best action leads where agreement counts."""

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
    from llm_actor.selection import EMBEDDED, AdvisorSpec, build

    asked = distinct_prompts(prompts)
    # Evenly, for the first signatures match most flows and have the longest prompts.
    some, few = (
        asked.take(np.linspace(0, prompts - 1, min(prompts, most)).astype(np.int64))
        for most in (GENERATED, ONE_BY_ONE)
    )
    spec = AdvisorSpec("embedded", device=device, token_budget=token_budget)
    scoring, writing = build(spec), build(replace(spec, mode="generate"))
    where = ModelSource(str(EMBEDDED), device=device).where()
    ways: list[_Timed] = [
        ("scoring, batched", len(asked), lambda: scoring.log_probabilities(asked)),
        ("scoring, one at a time", len(few), lambda: _one_by_one(scoring, few)),
        ("generating a label, batched", len(some), lambda: writing.log_probabilities(some)),
        ("generating a label, one at a time", len(few), lambda: _one_by_one(writing, few)),
    ]
    for advisor in (scoring, writing):
        advisor.log_probabilities(few)
    found = _measured(ways, where, progress)
    agreement, clear = _agreement(scoring, asked)
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
        device=_name(where),
        threads=torch.get_num_threads(),
        token_budget=int(getattr(scoring, "token_budget", 0)),
        agreement=agreement,
        clear=clear,
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
        records = records_of(graph.counts(), spec.predicted, spec.catalogue, spec.prior)
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


def _agreement(advisor: Advisor, prompts: Prompts) -> tuple[float | None, int]:
    from llm_actor.advisor import GraphReader

    promised = np.where(prompts.candidates, GraphReader().promised(prompts), -np.inf)
    second, best = np.sort(promised, axis=1)[:, -2:].T
    # One candidate is no choice. Binary fractions may fall short of a lead by a hair.
    clear = np.isfinite(second) & (best - second >= LEAD - 1e-5)
    chosen = advisor.log_probabilities(prompts).argmax(axis=1)
    right = (chosen == promised.argmax(axis=1))[clear]
    return (float(right.mean()) if len(right) else None), len(right)


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

    folder = Path(vocabulary.__file__).with_name("weights")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return vocabulary.Vocabulary(tokenizer)


# The paper's architecture.

LAYERS = 32

PHI: dict[str, Any] = {
    "vocab_size": 32_064,
    "hidden_size": 3_072,
    "intermediate_size": 8_192,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 131_072,
    "original_max_position_embeddings": 4_096,
    "sliding_window": 262_144,
}
"""Of microsoft/Phi-3.5-mini-instruct, as its configuration has them."""

TOKENS_PER_PROMPT = 430
"""What Phi's tokenizer would make of the prompts of :func:`distinct_prompts`, roughly.

Counted with another SentencePiece tokenizer of 32,000 pieces that splits numbers into digits:
173 for the system part, 246 on average for the user's, and the chat format.
"""

SHARED = 0.42
"""Share of these tokens that all prompts begin with: the system part, and some more."""

NEW_TOKENS = 12
"""Written per answer in the paper's way, which lets the model name an action in words.

The paper's longest name takes 9 tokens and an end, others fewer; a model that is not told to say
nothing else says more. Random weights never end an answer by themselves, so all have this many.
"""

LABEL_TOKENS = 2
"""Written per answer where the model is to write a label alone: the label, and an end."""

PHI_GENERATED = 256
PHI_ONE_BY_ONE = 16
TOKEN_BUDGET = 16_384

SHAPES = ((1, 15), (2, 15), (3, 15), (4, 15))
"""Told types and actions of the simulated neighbourhoods, in equal parts."""


def measure_phi(
    layers: int, prompts: int, tokens_per_prompt: int, device: str, progress: Progress
) -> PhiSpeed:
    """Measures the paper's architecture with random weights.

    The paper's way (float32, one prompt at a time, an answer of :data:`NEW_TOKENS`) against such
    answers in batches, labels written in batches, and scored labels, all in bfloat16. The float32
    model is gone before the other comes.

    Args:
        layers: 32 are the whole model; fewer fit a smaller machine.
        prompts: distinct ones for scoring; fewer of them are asked for written answers.
        tokens_per_prompt: mean length; the prompts keep their proportions.
        device: ``auto``, or PyTorch's name of one.
        progress: called with steps done and steps in all.

    Raises:
        InputError: no such device, or too little memory on it.
    """
    source = ModelSource(device=device)
    where = source.where()
    questions = phi_questions(prompts, tokens_per_prompt)
    shared = round(SHARED * tokens_per_prompt)
    try:
        single = _measured_model("float32", layers, where, questions, progress, 0)
        gc.collect()
        if where.type == "cuda":
            torch.cuda.empty_cache()
        batched = _measured_model("bfloat16", layers, where, questions, progress, ROUNDS)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise source.problem("does not fit into memory", mend="Use fewer --layers") from error
    ways = (*single[0], *batched[0])
    paper, writing, label, scoring = (way.prompts_per_second for way in ways)
    return PhiSpeed(
        config="phi-3.5, random weights",
        ratios={
            "scoring to the paper's way": scoring / paper,
            f"scoring to generating {NEW_TOKENS} tokens, both batched": scoring / writing,
            "scoring to generating a label, both batched": scoring / label,
            f"generating {NEW_TOKENS} tokens, batched to the paper's way": writing / paper,
        },
        ways=ways,
        tokens_per_prompt=statistics.fmean(len(question.prompt) for question in questions),
        origin="simulated neighbourhoods in the embedded model's tokens, lengthened to what "
        "Phi's tokenizer would make of them; an answer's label is two tokens",
        device=_name(where),
        threads=torch.get_num_threads(),
        layers=layers,
        parameters=batched[1],
        shared_tokens=shared,
        new_tokens=NEW_TOKENS,
        label_tokens=LABEL_TOKENS,
    )


def phi_questions(count: int, tokens: int) -> list[Question]:
    """Distinct prompts of ``tokens`` token ids on average, with their listed actions' labels."""
    from llm_actor.embedded.evaluation import held_out
    from llm_actor.embedded.layout import Layout, Names
    from llm_actor.embedded.simulation import simulate

    known = known_vocabulary()
    names = Names.of(held_out(), known, "cpu")
    layout, generator = Layout(known, names), torch.Generator().manual_seed(0)
    found: dict[tuple[int, ...], list[int]] = {}
    while len(found) < count:
        for types, actions in SHAPES:
            rows = layout.rows(simulate(64, types, actions, names.world, generator))
            for ids, length, labels, listed in zip(
                rows.ids, rows.lengths.tolist(), rows.labels, rows.listed, strict=True
            ):
                found[tuple(ids[:length].tolist())] = labels[listed].tolist()
    # Any start of the dictionary would hold one shape before the others.
    order = np.random.default_rng(0).permutation(len(found))[:count]
    drawn = [list(found.items())[row] for row in order]
    shared = round(SHARED * tokens)
    beginning = np.resize(drawn[0][0], shared).tolist()
    longer = (tokens - shared) / statistics.fmean(len(ids) for ids, _ in drawn)
    return [
        Question(
            [*beginning, *np.resize(ids, max(1, round(longer * len(ids)))).tolist()],
            [[label, layout.end] for label in labels],
        )
        for ids, labels in drawn
    ]


def random_phi(layers: int, device: torch.device, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """The architecture with random weights that come into being on the device."""
    from transformers import AutoModelForCausalLM, Phi3Config

    half = PHI["hidden_size"] // PHI["num_attention_heads"] // 2
    config = Phi3Config(
        **PHI,
        num_hidden_layers=layers,
        # Phi's own factors differ from 1, which costs no time.
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "partial_rotary_factor": 1.0,
            "original_max_position_embeddings": PHI["original_max_position_embeddings"],
            "short_factor": [1.0] * half,
            "long_factor": [1.0] * half,
        },
    )
    torch.manual_seed(0)
    made: Any = AutoModelForCausalLM
    with torch.device(device):
        model = made.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.eval()


def _measured_model(
    dtype: Literal["float32", "bfloat16"],
    layers: int,
    where: torch.device,
    questions: Sequence[Question],
    progress: Progress,
    done: int,
) -> tuple[tuple[Way, ...], int]:
    """A model's ways, and its number of parameters; the model is gone on return."""
    model = random_phi(layers, where, getattr(torch, dtype))
    if dtype == "float32":
        few = questions[:PHI_ONE_BY_ONE]
        ways: list[_Timed] = [
            (
                f"float32 generating {NEW_TOKENS} tokens, one at a time",
                len(few),
                lambda: _write(model, few, 1, NEW_TOKENS),
            )
        ]
    else:
        some, scorer = questions[:PHI_GENERATED], Scorer(model, TOKEN_BUDGET)
        ways = [
            (
                f"bfloat16 generating {NEW_TOKENS} tokens, batched",
                len(some),
                lambda: _write(model, some, TOKEN_BUDGET, NEW_TOKENS),
            ),
            (
                "bfloat16 generating a label, batched",
                len(some),
                lambda: _write(model, some, TOKEN_BUDGET, LABEL_TOKENS),
            ),
            ("bfloat16 scoring, batched", len(questions), lambda: scorer.score(questions)),
        ]
        scorer.score(questions[:2])
    _write(model, questions[:1], 1, LABEL_TOKENS)
    steps = ROUNDS * 4
    found = _measured(ways, where, lambda now, _: progress(done + now, steps))
    return found, sum(weights.numel() for weights in model.parameters())


@torch.inference_mode()
def _write(model: Any, questions: Sequence[Question], budget: int, tokens: int) -> None:  # noqa: ANN401
    """Lets the model write answers of so many tokens each."""
    lengths = [len(question.prompt) + tokens for question in questions]
    for rows in batches(lengths, budget):
        width = max(len(questions[row].prompt) for row in rows)
        ids, kept = (torch.zeros(len(rows), width, dtype=torch.int64) for _ in range(2))
        for line, row in enumerate(rows):
            start = width - len(questions[row].prompt)
            ids[line, start:] = torch.tensor(questions[row].prompt)
            kept[line, start:] = 1
        model.generate(
            input_ids=ids.to(model.device),
            attention_mask=kept.to(model.device),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        ).cpu()


# Both.

_Timed = tuple[str, int, Callable[[], object]]


def _measured(ways: Sequence[_Timed], where: torch.device, progress: Progress) -> tuple[Way, ...]:
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


def _name(where: torch.device) -> str:
    return torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
