"""What advisors are compared on: simulated neighbourhoods that no training has seen, as prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from envs import Catalogue
from envs.catalogue import Mitigation, TrafficClass
from envs.catalogue_terms import MOST_CLASSES
from llm_actor import Advisor, Prompts
from llm_actor.advisor import ask
from llm_actor.text import printable
from rayapp.lab.small_model.evaluation import KNOWN_SHAPES, SEED, SHAPES, held_out
from rayapp.lab.small_model.knowledge import attack
from rayapp.lab.small_model.layout import LONGEST, Names
from rayapp.lab.small_model.simulation import Neighbourhoods, simulate
from rayapp.lab.small_model.vocabulary import UNTRIED, Vocabulary, build

MOST_PROMPTS = 32
"""Prompts of one batch. Each has actions of its own, and every other one's keep the floor."""

ALONE = 64
"""Prompts that are asked alone, for their latency."""

BINS = 10
"""Bins of probability for the calibration."""


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
    vocabulary = Vocabulary(build())
    names = _names(vocabulary)
    world = Names.of(held_out(), vocabulary, "cpu").world
    generator = torch.Generator().manual_seed(SEED + seed)
    for known, shapes in ((False, SHAPES), (True, KNOWN_SHAPES)):
        for types, actions in shapes:
            yield _exam(simulate(rows, types, actions, world, generator, known), names)


def _names(vocabulary: Vocabulary) -> list[str]:
    """What the indices of :class:`rayapp.lab.small_model.layout.Names` mean."""
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
