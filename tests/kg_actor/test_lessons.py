from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import Catalogue
from kg_actor.lessons import MAX_PROVENANCE, MAX_WEIGHT, Lesson, Taught, withdrawn

PAPER = Catalogue.named("paper")

DOS, AUDIT = PAPER.class_index("DoS"), PAPER.action_names.index("Audit")


@pytest.mark.parametrize(
    "provenance", ["SOC Vienna", "feed.example/v2", "Ünïcode 分析", "x" * MAX_PROVENANCE, "7"]
)
def test_a_provenance_is_a_name(provenance: str) -> None:
    assert Lesson("DoS", "Audit", 1.0, 2.0, provenance).key == (provenance, "DoS", "Audit")


@pytest.mark.parametrize(
    "provenance",
    ["", " ", " feed", "feed ", "a\nb", "a\x00", "\u202efeed", "\ud800", "=1+1", "@x", "x" * 101],
)
def test_other_provenance_is_refused(provenance: str) -> None:
    with pytest.raises(ValueError, match="provenance must be a printable name"):
        Lesson("DoS", "Audit", 1.0, 2.0, provenance)


@pytest.mark.parametrize("reward", [-5.001, 5.001, math.nan, math.inf, -math.inf, 10**400])
def test_reward_out_of_range_is_refused(reward: float) -> None:
    with pytest.raises(ValueError, match=r"reward must be in -5 \.\. 5"):
        Lesson("DoS", "Audit", reward, 2.0, "feed").check(PAPER)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf, MAX_WEIGHT * 1.1, 10**400])
def test_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight must be a number of flows above 0"):
        Lesson("DoS", "Audit", 1.0, weight, "feed")


def test_lessons_on_an_edge_are_summed() -> None:
    taught = Taught.of(
        [Lesson("DoS", "Audit", 1.0, 2.0, "a"), Lesson("DoS", "Audit", -3.0, 4.0, "b")], PAPER
    )

    weight, reward = np.zeros((8, 15)), np.zeros((8, 15))
    weight[DOS, AUDIT], reward[DOS, AUDIT] = 6.0, 2.0 - 12.0
    assert np.array_equal(taught.weight, weight)
    assert np.array_equal(taught.reward, reward)


@given(
    st.lists(
        st.builds(
            Lesson,
            st.sampled_from(PAPER.class_names),
            st.sampled_from(PAPER.action_names),
            st.floats(-5, 5),
            st.floats(1e-9, MAX_WEIGHT),
            st.sampled_from("abcdefgh"),
        ),
        unique_by=lambda lesson: lesson.key,
    ),
    st.randoms(use_true_random=False),
)
def test_sums_are_finite_and_do_not_depend_on_the_order(
    lessons: list[Lesson], random: Random
) -> None:
    shuffled = list(lessons)
    random.shuffle(shuffled)

    first, second = Taught.of(lessons, PAPER), Taught.of(shuffled, PAPER)

    assert np.isfinite(first.weight).all()
    assert np.isfinite(first.reward).all()
    assert np.array_equal(first.weight, second.weight)
    assert np.array_equal(first.reward, second.reward)


@pytest.mark.parametrize(
    ("traffic", "action", "message"),
    [("dos", "Audit", "no traffic type 'dos'"), ("DoS", "M1047", "no action 'M1047'")],
)
def test_lesson_on_what_the_catalogue_lacks_is_refused(
    traffic: str, action: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Taught.of([Lesson(traffic, action, 1.0, 2.0, "feed")], PAPER)


def test_withdrawing_parts_lessons_by_their_source() -> None:
    lessons = tuple(Lesson("DoS", "Audit", 1.0, 2.0, source) for source in ("a", "b", "ab"))

    kept, gone = withdrawn(lessons, "a")

    assert [lesson.provenance for lesson in kept] == ["b", "ab"]
    assert [lesson.provenance for lesson in gone] == ["a"]
