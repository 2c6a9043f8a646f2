"""What advisors are compared on."""

from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from llm_actor import GraphReader, Prompts
from llm_actor.advisor import with_floor
from llm_actor.embedded import EMBEDDED
from llm_actor.selection import AdvisorSpec, build
from rayapp.lab.small_model.exam import (
    ALONE,
    MOST_PROMPTS,
    Exam,
    calibration_error,
    draw_exams,
    examine,
)


@pytest.fixture(scope="module")
def exams() -> list[Exam]:
    return list(draw_exams(40, seed=5))


class Credulous:
    """Takes every detection for right: reads the predicted type's records alone."""

    name = "credulous"

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        own = np.nan_to_num(prompts.rewards[prompts.predicted], nan=0.0)
        return with_floor(own / 0.25, prompts.candidates)


class Contrary:
    """Prefers what promises least."""

    name = "contrary"

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        return with_floor(-GraphReader().promised(prompts), prompts.candidates)


def test_the_graph_reader_is_right_by_construction(exams: list[Exam]) -> None:
    figures = examine(GraphReader(), exams)

    assert figures.overall == figures.alone == figures.misled == 1
    assert figures.kl == pytest.approx(0, abs=0.002)
    assert figures.silent is not None
    assert figures.silent < 0.5


def test_who_ignores_misclassification_fails_where_it_matters(exams: list[Exam]) -> None:
    figures = examine(Credulous(), exams)

    assert figures.misled == 0
    assert figures.alone is not None
    assert figures.alone > 0.95
    assert figures.kl is not None
    assert figures.kl > 0.1


def test_who_prefers_the_worst_is_never_right_for_a_single_action_is_no_choice(
    exams: list[Exam],
) -> None:
    figures = examine(Contrary(), exams)

    assert any((exam.candidates.sum(axis=1) == 1).any() for exam in exams)
    assert figures.overall == figures.alone == figures.misled == 0
    assert figures.optimum is not None
    assert figures.optimum < 0.1


def test_latencies_are_of_prompts_that_are_asked_alone(exams: list[Exam]) -> None:
    sizes: list[int] = []

    class Leisurely(Contrary):
        def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
            sizes.append(len(prompts))
            time.sleep(0.002)
            return super().log_probabilities(prompts)

    figures = examine(Leisurely(), exams)

    assert sizes.count(1) >= ALONE
    assert 0.002 <= figures.latency_p50 <= figures.latency_p99 < 2


def test_who_is_as_sure_as_it_is_right_is_calibrated(exams: list[Exam]) -> None:
    chance, right = np.array([0.75] * 4 + [0.25] * 4), np.array([1, 1, 1, 0, 1, 0, 0, 0.0])

    assert calibration_error(chance, right) == 0
    assert calibration_error(chance, 1 - right) == 0.5
    assert calibration_error(np.array([1.0, 1.0]), np.array([0.0, 1.0])) == 0.5
    assert calibration_error(chance[:0], right[:0]) is None
    # Right always and sure mostly.
    reader = examine(GraphReader(), exams)
    assert reader.calibration_error == pytest.approx(1 - (reader.optimum or 0), abs=1e-3)


def test_prompts_list_what_the_simulation_does(exams: list[Exam]) -> None:
    for exam in exams:
        row = 0
        for prompts, columns in exam.batches:
            rows = slice(row, row := row + len(prompts))
            told = np.take_along_axis(prompts.candidates, columns, axis=1)
            assert np.array_equal(told, exam.candidates[rows])
            assert prompts.candidates.sum() == told.sum()
            assert len(prompts) <= MOST_PROMPTS
            assert len(prompts.catalogue.classes) < 128
        assert row == len(exam.silent) == 40


@pytest.mark.slow
def test_the_model_that_ships_keeps_what_its_card_says() -> None:
    """On a few thousand neighbourhoods that neither its training nor its evaluation has drawn."""
    figures = examine(build(AdvisorSpec("embedded")), list(draw_exams(256, seed=20_261)))

    assert figures.alone is not None
    assert figures.alone >= 0.98
    assert figures.misled is not None
    assert figures.misled >= 0.95


def test_the_shipped_evaluation_is_of_the_shipped_weights() -> None:
    told = json.loads((EMBEDDED / "evaluation.json").read_text(encoding="utf-8"))
    weights = (EMBEDDED / "model.safetensors").read_bytes()

    assert told["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert told["neighbourhoods"] == 13 * 4096


def test_other_seeds_ask_something_else() -> None:
    first, same, other = (next(draw_exams(8, seed)).target for seed in (1, 1, 2))

    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
