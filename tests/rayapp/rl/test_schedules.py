"""lambda over environment steps."""

import pytest

from rayapp.rl.schedules import Schedule


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


@pytest.mark.parametrize("bad", [{"start": -1.0}, {"end": -0.1}, {"length": 0}])
def test_nonsense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"negative|at least 1"):
        Schedule("linear", **bad)  # type: ignore[arg-type]
