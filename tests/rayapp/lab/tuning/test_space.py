"""Ranges as people write them, and the points that are drawn from them."""

from __future__ import annotations

import pytest

from envs import InputError
from rayapp import config
from rayapp.lab.tuning import space
from rayapp.lab.tuning.space import Range, parse_range, read_space

SETTINGS = config.load(None, (), {"flows": 100_000})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ([0.1, 1], Range((0.1, 1))),
        (["constant", None], Range(("constant", None))),
        ([[16], [64, 64]], Range(((16,), (64, 64)))),
        ("0.1..3", Range(low=0.1, high=3.0)),
        ("0.1 .. 3 log", Range(low=0.1, high=3.0, log=True)),
        ("0.1 .. 3", Range(low=0.1, high=3.0)),
        ("1e-6..1e-2 log", Range(low=1e-6, high=1e-2, log=True)),
        ("4..12", Range(low=4, high=12, whole=True)),
        ("-1.5..0.0", Range(low=-1.5, high=0.0)),
    ],
)
def test_ranges_are_read_as_written(written: object, meant: Range) -> None:
    assert parse_range("x", written) == meant


@pytest.mark.parametrize(
    "written", [[], "x", 3, None, "3..1", "1..1", "0..1 log", "a..b", "1..inf", "1..2 lg"]
)
def test_what_is_no_range_is_refused_by_name(written: object) -> None:
    with pytest.raises(InputError, match=r"kl\.start"):
        parse_range("kl.start", written)


def test_assignments_come_over_a_nested_file() -> None:
    file = {"kl": {"start": "0.1..3 log", "schedule": ["linear"]}}

    found = read_space(file, ["kl.schedule=[cosine, constant]", "learning.epochs=2..8"])

    assert found == {
        "kl.start": Range(low=0.1, high=3.0, log=True),
        "kl.schedule": Range(("cosine", "constant")),
        "learning.epochs": Range(low=2, high=8, whole=True),
    }


@pytest.mark.parametrize("assignment", ["kl.start", "=[1]", "kl.start=[1"])
def test_unreadable_assignments_are_refused(assignment: str) -> None:
    with pytest.raises(InputError, match="--over"):
        read_space(None, [assignment])


def test_drawn_points_lie_in_their_ranges_and_are_repeatable() -> None:
    ranges = read_space(None, ["a=[[1, 2], null]", "b=1..3", "c=0.01..100.0 log", "d=0.0..1.0"])

    points = space.drawn(ranges, 0, 300)

    assert points[:5] == space.drawn(ranges, 0, 5)
    assert {point["a"] for point in points} == {(1, 2), None}
    assert {point["b"] for point in points} == {1, 2, 3}
    assert all(0.01 <= point["c"] <= 100 for point in points)
    # Half of an interval of orders of magnitude lies below its geometric middle.
    assert 100 < sum(point["c"] < 1 for point in points) < 200
    assert all(0 <= point["d"] <= 1 for point in points)


def test_a_grid_has_every_combination_but_the_settings_as_given() -> None:
    ranges = read_space(None, ["kl.schedule=[constant, linear]", "kl.start=[0.5, 1.0, 2.0]"])

    points = space.grid(ranges, SETTINGS)

    assert len(points) == 5
    assert {"kl.schedule": "linear", "kl.start": 1.0} not in points


def test_a_grid_of_intervals_is_refused() -> None:
    with pytest.raises(InputError, match=r"kl\.start has an interval"):
        space.grid(read_space(None, ["kl.start=0.1..1"]), SETTINGS)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["kl.begin=[1]"], "begin"),
        (["kl.schedule=[linear, exponential]"], "exponential schedule needs"),
        (["kl.start=-1.0..1.0"], "greater than or equal to 0"),
        (["seed.x=[1]"], "not a setting"),
    ],
)
def test_spaces_that_hold_impossible_settings_are_refused(over: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        space.check(read_space(None, over), SETTINGS)


@pytest.mark.parametrize("algo", ["ppo-kg", "dqn-kg", "ppo-kg-pt"])
@pytest.mark.parametrize("search", ["grid", "random", "model"])
def test_the_usual_spaces_fit_every_algorithm(algo: str, search: space.Search) -> None:
    settings = config.load(None, (), {"flows": 100_000, "algo": algo})

    space.check(space.usual_space(search, settings), settings)


def test_a_point_changes_what_it_names_alone() -> None:
    changed = space.with_point(SETTINGS, {"kl.start": 0.25, "kl.length": None})

    assert changed.kl.start == 0.25
    assert changed.model_copy(update={"kl": SETTINGS.kl}) == SETTINGS
