"""lambda over environment steps."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayapp.rl.schedules import Schedule, ScheduleKind


def test_constant_stays_where_it_started() -> None:
    schedule = Schedule("constant", start=0.1)

    assert [schedule.at(step, total=100) for step in (0, 50, 1000)] == [0.1, 0.1, 0.1]


def test_linear_decays_over_the_whole_training_and_stays() -> None:
    schedule = Schedule("linear", start=1.0, end=0.2)

    assert [schedule.at(step, total=100) for step in (0, 50, 100, 150)] == pytest.approx(
        [1.0, 0.6, 0.2, 0.2]
    )


def test_a_schedule_can_have_a_length_of_its_own() -> None:
    schedule = Schedule("linear", start=1.0, end=0.0, length=10)

    assert schedule.at(5, total=1000) == pytest.approx(0.5)
    assert schedule.at(10, total=1000) == 0.0


def test_cosine_starts_and_ends_slowly() -> None:
    schedule = Schedule("cosine", start=1.0, end=0.0)

    assert [schedule.at(step, total=100) for step in (0, 25, 50, 100, 150)] == pytest.approx(
        [1.0, (1 + 0.5**0.5) / 2, 0.5, 0.0, 0.0]
    )


def test_exponential_falls_by_the_same_factor_per_step() -> None:
    schedule = Schedule("exponential", start=1.0, end=0.01)

    assert [schedule.at(step, total=100) for step in (0, 50, 100, 150)] == pytest.approx(
        [1.0, 0.1, 0.01, 0.01]
    )


def test_piecewise_goes_straight_from_point_to_point() -> None:
    schedule = Schedule("piecewise", points=((10, 1.0), (20, 0.5), (40, 0.0)))

    assert [schedule.at(step, total=100) for step in (0, 10, 15, 20, 30, 40, 99)] == pytest.approx(
        [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    )


def test_adaptive_follows_its_target() -> None:
    schedule = Schedule("adaptive", start=1.0, target=0.1, ceiling=2.0)

    assert schedule.at(5, total=100) == 1.0
    assert schedule.adapted(1.0, kl=0.1) == 1.0
    assert schedule.adapted(1.0, kl=0.2) == 1.5
    assert schedule.adapted(1.5, kl=0.2) == 2.0
    assert schedule.adapted(1.5, kl=0.01) == 1.0


@given(
    kind=st.sampled_from(["constant", "linear", "cosine", "exponential"]),
    start=st.floats(0.01, 10),
    end=st.floats(0.01, 10),
    step=st.integers(0, 2000),
)
def test_lambda_stays_between_start_and_end(
    kind: ScheduleKind, start: float, end: float, step: int
) -> None:
    value = Schedule(kind, start, end).at(step, total=1000)

    assert min(start, end) * (1 - 1e-9) <= value <= max(start, end) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"start": -1.0}, "negative"),
        ({"end": -0.1}, "negative"),
        ({"length": 0}, "at least 1"),
        ({"kind": "exponential"}, "above 0"),
        ({"kind": "piecewise"}, "points"),
        ({"kind": "piecewise", "points": ((5, 1.0), (5, 0.0))}, "ascending"),
        ({"kind": "piecewise", "points": ((5, -1.0),)}, "negative"),
        ({"kind": "adaptive"}, "target"),
        ({"kind": "adaptive", "target": 0.1, "start": 0.0}, "start"),
    ],
)
def test_nonsense_is_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**bad)
