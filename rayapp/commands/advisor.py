"""``kirl advisor``: compare advisors on simulated neighbourhoods, and train the small model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table
from scipy.special import log_softmax

from envs import Catalogue, InputError
from envs.catalogue import Mitigation, TrafficClass
from envs.catalogue_terms import MOST_CLASSES
from envs.files import check_writable
from llm_actor import Advisor, Prompts
from llm_actor.advisor import ask
from llm_actor.selection import AdvisorSpec, Kind
from rayapp.commands import console
from rayapp.commands.advise import (
    ApiKeyEnv,
    CircuitCooldown,
    CircuitFailures,
    Concurrency,
    Device,
    Dtype,
    Mode,
    Offline,
    PromptTemplate,
    Retries,
    Revision,
    TimeoutSeconds,
    Url,
    chosen_specs,
)
from rayapp.commands.graph import AsJson

if TYPE_CHECKING:
    from llm_actor.embedded.simulation import Neighbourhoods
    from llm_actor.embedded.vocabulary import Vocabulary

app = typer.Typer(help="Compare advisors, and train the small one.", no_args_is_help=True)

MOST_PROMPTS = 32
"""Of one batch. Each has actions of its own, and every other one's keep the floor."""

ALONE = 64
"""Prompts that are asked alone, for their latency."""

BINS = 10
"""Of probability, for the calibration."""

_USUAL: tuple[Kind, ...] = ("graph-reader", "embedded")

MINUTES = 7.0
"""Of the training whose result ships."""

REMARK = (
    "The optimum is what the graph reader computes, so it is right wherever records speak, by "
    "construction; where they are silent it promises 0 for every action and takes the first."
)


@dataclass(frozen=True)
class Exam:
    """Neighbourhoods as prompts, and what to answer; arrays are [rows, actions].

    Attributes:
        batches: the rows in order, as prompts, and int64 [prompts, actions]: which of the
            batch's actions are listed for each.
        candidates: bool.
        target: float64, softmax of the promised rewards.
        named: bool, what ATT&CK names for the predicted type.
        silent: bool [rows], no candidate has a record.
        clear: bool [rows], the best candidate of several leads by at least 0.1, on records.
        misled: bool [rows], the predicted type's records alone would choose another.
    """

    batches: tuple[tuple[Prompts, NDArray[np.int64]], ...]
    candidates: NDArray[np.bool_]
    target: NDArray[np.float64]
    named: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    clear: NDArray[np.bool_]
    misled: NDArray[np.bool_]


@dataclass(frozen=True)
class Figures:
    """How one advisor did; ``None`` where there was nothing to count.

    Attributes:
        overall: agreement with the expected-reward optimum, where records speak and the best
            action of several leads by at least 0.1.
        alone: the same where the predicted type's records alone decide.
        misled: the same where misclassification must change the answer.
        silent: where no candidate has a record, how often the choice is one that ATT&CK names
            for the predicted type, of the prompts that list one.
        kl: mean divergence (nats) from softmax(promised reward / 0.25), where records speak.
        calibration_error: expected calibration error (Naeini et al., 2015) on the prompts of
            ``overall``: by how much the probability of the chosen action differs from the share
            of right choices, in :data:`BINS` equal bins, weighed by their prompts.
        optimum: mean probability of the optimum, on the prompts of ``overall``.
        answered: share of prompts that the advisor answered itself.
        prompts_per_second: text and answer, in batches of at most :data:`MOST_PROMPTS`.
        latency_p50: median seconds of one prompt asked alone, of up to :data:`ALONE`.
        latency_p99: the same, 99th percentile.
    """

    overall: float | None
    alone: float | None
    misled: float | None
    silent: float | None
    kl: float | None
    optimum: float | None
    calibration_error: float | None
    answered: float
    prompts_per_second: float
    latency_p50: float
    latency_p99: float


def compare(
    advisor: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(get_args(Kind))}; may be given several times."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Hub id or folder (transformers), or the endpoint's name for its model; may be "
            "given several times, to be compared."
        ),
    ] = None,
    mode: Mode = None,
    device: Device = None,
    dtype: Dtype = None,
    revision: Revision = None,
    template: PromptTemplate = None,
    offline: Offline = None,
    url: Url = None,
    api_key_env: ApiKeyEnv = None,
    timeout_seconds: TimeoutSeconds = None,
    retries: Retries = None,
    concurrency: Concurrency = None,
    circuit_failures: CircuitFailures = None,
    circuit_cooldown: CircuitCooldown = None,
    neighbourhoods: Annotated[
        int, typer.Option(min=1, max=100_000, help="Of each of the thirteen shapes.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=1, max=2**31, help="Of the neighbourhoods.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Compare advisors on simulated neighbourhoods that no training has seen.

    Names are made up and in no training either, except in the two shapes that have ATT&CK's.
    Without --advisor, the graph reader and the embedded model.
    """
    # The specs check the names; typer knows no list of literals.
    kinds = cast("list[Kind]", list(dict.fromkeys(advisor or _USUAL)))
    given = {
        "mode": mode,
        "device": device,
        "dtype": dtype,
        "revision": revision,
        "template": template,
        "offline": offline,
        "url": url,
        "api_key_env": api_key_env,
        "timeout_seconds": timeout_seconds,
        "retries": retries,
        "concurrency": concurrency,
        "circuit_failures": circuit_failures,
        "circuit_cooldown": circuit_cooldown,
    }
    specs = chosen_specs(kinds, given, tuple(dict.fromkeys(model or ())))
    names = _told_apart(specs)
    with console.working("Drawing neighbourhoods"):
        exams = list(draw_exams(neighbourhoods, seed))
    found: dict[str, Figures] = {}
    for name, spec in zip(names, specs, strict=True):
        built = console.loaded(spec)
        console.warn_of_template(spec)
        with console.Reporter(f"Asking {name}", "prompts") as reporter:
            found[name] = examine(built, exams, reporter)
    prompts = sum(len(exam.silent) for exam in exams)
    if as_json:
        console.print_json(
            {
                "seed": seed,
                "neighbourhoods": prompts,
                "advisors": [
                    _told(name, spec) | asdict(found[name])
                    for name, spec in zip(names, specs, strict=True)
                ],
                "remark": REMARK,
            }
        )
        return
    console.out.print(_table(list(found.items()), prompts))
    console.out.print(REMARK, soft_wrap=True)


def train(
    out: Annotated[Path, typer.Option(help="New folder for the model and its evaluation.")],
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help=f"At most so long (default: {MINUTES:g} without --steps)."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    batch: Annotated[int, typer.Option(min=4, help="Neighbourhoods per step.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, max=2**31)] = 0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes a GPU where there is one.")
    ] = "auto",
    neighbourhoods: Annotated[
        int, typer.Option(min=1, help="Of each shape, that the result is judged on.")
    ] = 4096,
    as_json: AsJson = False,
) -> None:
    """Train the small language model on simulated neighbourhoods, and judge it."""
    _check_new(out)
    from llm_actor.embedded.model import Size
    from llm_actor.embedded.train import Plan, train_and_judge
    from llm_actor.model_files import ModelSource

    place = ModelSource(str(out), device=device).where().type
    limit = MINUTES if minutes is None and steps is None else minutes
    plan = Plan(steps or 1_000_000, batch, limit, rate=2e-3, seed=seed, device=place)
    result = train_and_judge(out, plan, Size(), neighbourhoods, console.working("Judging"))
    if as_json:
        console.print_json(result)
        return
    shown = ("alone", "misled", "silent", "kl")
    console.out.print(
        f"Written to {out}: " + ", ".join(f"{key} {result[key]}" for key in shown), soft_wrap=True
    )
    console.out.print(
        f"Compare it: kirl advisor eval --advisor transformers --model {out}", soft_wrap=True
    )


def examine(
    advisor: Advisor, exams: list[Exam], progress: Callable[[int, int], None] | None = None
) -> Figures:
    """Asks an advisor everything, once.

    Args:
        advisor: who is asked.
        exams: at least one, each with at least one prompt.
        progress: called with prompts done and in all.

    Raises:
        InputError: the advisor cannot answer.
    """
    total = sum(len(exam.silent) for exam in exams)
    done, own, seconds = 0, 0, 0.0
    sums: dict[str, list[NDArray[np.float64]]] = {}
    chances: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    # What is done once, at the first question, is no part of the speed.
    ask(advisor, exams[0].batches[0][0].take([0]))
    for exam in exams:
        told = []
        for prompts, columns in exam.batches:
            begun = time.perf_counter()
            answer, answered = ask(advisor, prompts)
            seconds += time.perf_counter() - begun
            told.append(np.take_along_axis(answer, columns, axis=1))
            own, done = own + int(answered.sum()), done + len(prompts)
            if progress:
                progress(done, total)
        judged = _judged(exam, np.concatenate(told))
        chances.append((judged.pop("chance"), judged["overall"]))
        for name, values in judged.items():
            sums.setdefault(name, []).append(values)
    means = {name: _mean(np.concatenate(values)) for name, values in sums.items()}
    median, high = np.percentile(_seconds_alone(advisor, exams), [50, 99])
    return Figures(
        **means,
        calibration_error=calibration_error(*map(np.concatenate, zip(*chances, strict=True))),
        answered=own / total,
        prompts_per_second=round(total / seconds, 1),
        latency_p50=round(float(median), 5),
        latency_p99=round(float(high), 5),
    )


def _seconds_alone(advisor: Advisor, exams: list[Exam]) -> list[float]:
    """How long single prompts take, float [prompts], the same number of every exam's."""
    seconds = []
    for exam in exams:
        asked = exam.batches[0][0]
        for row in range(min(len(asked), -(-ALONE // len(exams)))):
            begun = time.perf_counter()
            ask(advisor, asked.take([row]))
            seconds.append(time.perf_counter() - begun)
    return seconds


def calibration_error(chance: NDArray[np.float64], right: NDArray[np.float64]) -> float | None:
    """Expected calibration error of choices; ``None`` without any.

    Args:
        chance: probability of each chosen action, [choices].
        right: 1 where it was right, else 0, [choices].
    """
    if not len(chance):
        return None
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    gaps = np.abs(np.bincount(place, chance - right, minlength=BINS))
    return round(float(gaps.sum() / len(chance)), 4)


def _judged(exam: Exam, told: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Every figure's values on the rows that it is about.

    Args:
        exam: what was asked.
        told: log-probabilities [rows, actions] of the listed actions.
    """
    among = log_softmax(np.where(exam.candidates, told, -np.inf).astype(np.float64), axis=1)
    best, chosen = exam.target.argmax(axis=1), among.argmax(axis=1)
    row = np.arange(len(chosen))
    right = (chosen == best).astype(np.float64)
    gap = np.log(np.maximum(exam.target, 1e-30)) - np.where(exam.candidates, among, 0)
    answers = exam.named & exam.candidates
    return {
        "overall": right[exam.clear],
        "alone": right[exam.clear & ~exam.misled],
        "misled": right[exam.clear & exam.misled],
        "silent": answers[row, chosen][exam.silent & answers.any(axis=1)].astype(np.float64),
        "kl": (exam.target * gap).sum(axis=1)[~exam.silent],
        "optimum": np.exp(among[row, best])[exam.clear],
        "chance": np.exp(among[row, chosen])[exam.clear],
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None


def draw_exams(rows: int, seed: int) -> Iterator[Exam]:
    """Draws what advisors are asked: the shapes of a training's own evaluation, other rows.

    Args:
        rows: neighbourhoods of each shape.
        seed: at least 1; 0 would be the evaluation's.

    Returns:
        One exam per shape; names are those held out, or ATT&CK's.
    """
    import torch

    from llm_actor.embedded.evaluation import KNOWN_SHAPES, SEED, SHAPES, held_out
    from llm_actor.embedded.layout import Names
    from llm_actor.embedded.simulation import simulate
    from llm_actor.embedded.vocabulary import Vocabulary
    from llm_actor.embedded.vocabulary import build as build_tokenizer

    vocabulary = Vocabulary(build_tokenizer())
    names = _names(vocabulary)
    world = Names.of(held_out(), vocabulary, "cpu").world
    generator = torch.Generator().manual_seed(SEED + seed)
    for known, shapes in ((False, SHAPES), (True, KNOWN_SHAPES)):
        for types, actions in shapes:
            yield _exam(simulate(rows, types, actions, world, generator, known), names)


def _names(vocabulary: Vocabulary) -> list[str]:
    """What the indices of :class:`llm_actor.embedded.layout.Names` mean."""
    from llm_actor.embedded.evaluation import held_out
    from llm_actor.embedded.knowledge import attack
    from llm_actor.embedded.layout import LONGEST
    from llm_actor.text import printable

    every = [*attack().types, *attack().actions, *held_out()]
    pieces = vocabulary.split([printable(name) for name in every])
    return [name for name, ids in zip(every, pieces, strict=True) if len(ids) <= LONGEST]


def _exam(drawn: Neighbourhoods, names: list[str]) -> Exam:
    silent = drawn.silent().numpy()
    return Exam(
        tuple(_as_prompts(drawn, rows, names) for rows in _groups(drawn)),
        drawn.candidates.numpy(),
        drawn.target().double().numpy(),
        drawn.addressed[:, 0].numpy(),
        silent,
        drawn.clear().numpy() & ~silent,
        drawn.misleading().numpy(),
    )


def _groups(drawn: Neighbourhoods) -> Iterator[list[int]]:
    """Rows that one catalogue can hold: a type has the same records in all of a batch."""
    group: list[int] = []
    told: set[int] = set()
    for row, types in enumerate(drawn.types.tolist()):
        full = len(group) == MOST_PROMPTS or len(told) + len(types) > MOST_CLASSES
        if group and (full or told & set(types)):
            yield group
            group, told = [], set()
        group.append(row)
        told |= set(types)
    yield group


def _as_prompts(
    drawn: Neighbourhoods, rows: list[int], names: list[str]
) -> tuple[Prompts, NDArray[np.int64]]:
    from llm_actor.embedded.vocabulary import UNTRIED

    types, actions = drawn.types[rows].numpy(), drawn.actions[rows].numpy()
    # In order of appearance: sorted, the names would tell something to go by.
    known_types, known_actions = (list(dict.fromkeys(a.ravel().tolist())) for a in (types, actions))
    lines = np.vectorize({name: at for at, name in enumerate(known_types)}.get)(types)
    columns = np.vectorize({name: at for at, name in enumerate(known_actions)}.get)(actions)
    tenths = drawn.rewards[rows].numpy()
    rewards = np.full((len(known_types), len(known_actions)), np.nan, np.float32)
    told = np.where(tenths == UNTRIED, np.nan, (tenths - 50) / 10)
    rewards[lines[:, :, None], columns[:, None, :]] = told
    place = np.arange(len(rows))[:, None]
    shares = np.zeros((len(rows), len(known_types)), np.float32)
    shares[place, lines] = drawn.percents[rows].numpy() / 100
    candidates = np.zeros((len(rows), len(known_actions)), np.bool_)
    candidates[place, columns] = drawn.candidates[rows].numpy()
    confidence = (drawn.confidence[rows].numpy() / 100).astype(np.float32)
    catalogue = Catalogue(
        tuple(TrafficClass(names[i], (names[i],), (0,)) for i in known_types),
        tuple(Mitigation(names[i], None) for i in known_actions),
    )
    predicted = lines[:, 0].astype(np.int8)
    return Prompts(predicted, confidence, shares, rewards, candidates, catalogue), columns


def _told_apart(specs: Sequence[AdvisorSpec]) -> list[str]:
    """Each advisor's name; those that have the same are told apart by model or kind."""
    names = [spec.name for spec in specs]
    return [
        name if names.count(name) == 1 else f"{spec.kind} {spec.model or name}"
        for name, spec in zip(names, specs, strict=True)
    ]


def _told(name: str, spec: AdvisorSpec) -> dict[str, Any]:
    return {"kind": spec.kind, "name": name, "model": spec.model, "revision": spec.revision_key}


def _table(found: list[tuple[str, Figures]], prompts: int) -> Table:
    table = Table(title=f"{prompts:,} simulated neighbourhoods")
    table.add_column("measured")
    for name, _ in found:
        table.add_column(name, justify="right")
    for title, key, form in (
        ("agrees with the optimum", "overall", "{:.2%}"),
        ("  predicted type decides alone", "alone", "{:.2%}"),
        ("  misclassification must change the answer", "misled", "{:.2%}"),
        ("records silent: one that ATT&CK names", "silent", "{:.2%}"),
        ("divergence from softmax(promised / 0.25), nats", "kl", "{:.4f}"),
        ("mean probability of the optimum", "optimum", "{:.4f}"),
        ("calibration error", "calibration_error", "{:.4f}"),
        ("answered itself", "answered", "{:.2%}"),
        ("prompts/s, in batches", "prompts_per_second", "{:,.0f}"),
        ("seconds for one prompt, median", "latency_p50", "{:.4f}"),
        ("  99th percentile", "latency_p99", "{:.4f}"),
    ):
        values = [getattr(figures, key) for _, figures in found]
        table.add_row(title, *["-" if value is None else form.format(value) for value in values])
    return table


def _check_new(out: Path) -> None:
    """Long work must not end at a place that is taken or cannot be written to."""
    check_writable(out)
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise InputError(
            "is already there, and not an empty folder",
            where=str(out),
            mend="Give --out a new folder; a trained model is never replaced",
        )


for _name, _command, _example in (
    ("eval", compare, "kirl advisor eval --advisor graph-reader --advisor embedded --json"),
    ("train", train, "kirl advisor train --out my-model --minutes 7 --seed 1"),
):
    app.command(_name, epilog=f"Example: {_example}")(_command)
