from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_actor.circuit import Circuit


class Clock:
    """Seconds that go on when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock) -> Circuit:
    circuit = Circuit(failures=3, cool_down=10, clock=clock)
    for _ in range(3):
        assert circuit.admits()
        circuit.failed()
    return circuit


def test_failures_in_a_row_open_the_circuit(clock: Clock) -> None:
    circuit = opened(clock)

    assert (circuit.state, circuit.openings) == ("open", 1)
    assert not circuit.admits()


def test_a_success_in_between_starts_the_count_anew(clock: Clock) -> None:
    circuit = Circuit(failures=3, clock=clock)

    for fails in (True, True, False, True, True):
        circuit.failed() if fails else circuit.succeeded()

    assert circuit.admits()
    assert circuit.openings == 0


def test_after_the_cool_down_one_trial_is_admitted(clock: Clock) -> None:
    circuit = opened(clock)

    clock.now += 9.9
    assert not circuit.admits()
    clock.now += 0.1

    assert circuit.admits()
    assert circuit.state == "half-open"
    assert not circuit.admits()


def test_a_trial_that_succeeds_closes_the_circuit(clock: Clock) -> None:
    circuit = opened(clock)
    clock.now += 10
    circuit.admits()

    circuit.succeeded()

    assert (circuit.state, circuit.openings) == ("closed", 1)
    circuit.failed()
    assert circuit.admits()


def test_a_trial_that_fails_opens_it_for_another_cool_down(clock: Clock) -> None:
    circuit = opened(clock)
    clock.now += 10
    circuit.admits()

    circuit.failed()

    assert (circuit.state, circuit.openings) == ("open", 2)
    clock.now += 9.9
    assert not circuit.admits()
    clock.now += 0.1
    assert circuit.admits()


def test_an_abandoned_trial_makes_way_for_the_next(clock: Clock) -> None:
    circuit = opened(clock)
    clock.now += 10
    circuit.admits()

    circuit.abandoned()

    assert (circuit.state, circuit.openings) == ("open", 1)
    assert circuit.admits()


def test_abandoned_attempts_leave_a_closed_circuit_as_it_is(clock: Clock) -> None:
    circuit = Circuit(failures=1, clock=clock)

    circuit.abandoned()

    assert circuit.state == "closed"


def test_late_failures_do_not_prolong_the_cool_down(clock: Clock) -> None:
    circuit = opened(clock)

    clock.now += 5
    circuit.failed()

    clock.now += 5
    assert circuit.admits()
    assert circuit.openings == 1


@given(st.lists(st.sampled_from(["failed", "succeeded", "waited"]), max_size=60))
def test_whatever_happens_the_circuit_admits_again_after_a_cool_down(ends: list[str]) -> None:
    clock = Clock()
    circuit = Circuit(failures=2, cool_down=10, clock=clock)

    for end in ends:
        if end == "waited":
            clock.now += 4
        elif circuit.admits():
            circuit.failed() if end == "failed" else circuit.succeeded()

    clock.now += 10
    assert circuit.admits()


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_it_opens_exactly_at_so_many_failures_in_a_row(fails: list[bool], most: int) -> None:
    circuit, in_a_row = Circuit(failures=most, clock=Clock()), 0

    for failed in fails:
        circuit.failed() if failed else circuit.succeeded()
        in_a_row = in_a_row + 1 if failed else 0
        if in_a_row >= most:
            assert circuit.state == "open"
            break
        assert circuit.state == "closed"


@pytest.mark.parametrize(("failures", "cool_down"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_settings_that_make_no_sense_are_refused(failures: int, cool_down: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Circuit(failures, cool_down)
