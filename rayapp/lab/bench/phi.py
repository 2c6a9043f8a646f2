"""How fast the architecture of the paper's model is, in the paper's way and in kirl's.

Weights are random, which are as fast as trained ones and need no download; questions are token ids.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from llm_actor.budget import batches
from llm_actor.model_files import ModelSource
from llm_actor.scoring import Question, Scorer
from rayapp.lab.bench.advisor import (
    ROUNDS,
    AdvisorSpeed,
    Progress,
    Timed,
    Way,
    device_name,
    known_vocabulary,
    measured,
)


@dataclass(frozen=True)
class PhiSpeed(AdvisorSpeed):
    """Speed of the paper's architecture.

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
"""The sizes of microsoft/Phi-3.5-mini-instruct, out of its configuration."""

TOKENS_PER_PROMPT = 430
"""What Phi's tokenizer would make of the benchmark's prompts, roughly.

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

GENERATED = 256
ONE_BY_ONE = 16
TOKEN_BUDGET = 16_384

SHAPES = ((1, 15), (2, 15), (3, 15), (4, 15))
"""Traffic types and actions of the simulated neighbourhoods, in equal parts."""


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
    source = ModelSource("phi-3.5", device=device)
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
        device=device_name(where),
        threads=torch.get_num_threads(),
        layers=layers,
        parameters=batched[1],
        shared_tokens=shared,
        new_tokens=NEW_TOKENS,
        label_tokens=LABEL_TOKENS,
    )


def phi_questions(count: int, tokens: int) -> list[Question]:
    """Distinct prompts of ``tokens`` token ids on average, with their listed actions' labels."""
    from rayapp.lab.small_model.evaluation import held_out
    from rayapp.lab.small_model.layout import Layout, Names
    from rayapp.lab.small_model.simulation import simulate

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
        few = questions[:ONE_BY_ONE]
        ways: list[Timed] = [
            (
                f"float32 generating {NEW_TOKENS} tokens, one at a time",
                len(few),
                lambda: _write(model, few, 1, NEW_TOKENS),
            )
        ]
    else:
        some, scorer = questions[:GENERATED], Scorer(model, TOKEN_BUDGET)
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
    found = measured(ways, where, lambda now, _: progress(done + now, steps))
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
