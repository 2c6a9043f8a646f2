"""What a sweep searches: settings, and the values that each of them may take.

A range is written as one would say it: ``[constant, linear]`` are choices, ``0.1..3`` is an
interval, ``0.1..3 log`` one that is searched by orders of magnitude. Between two whole numbers
lie whole numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import yaml

from envs import InputError
from rayapp.config import TrainingSettings, flat, parse

Search = Literal["grid", "random", "model"]

Point = dict[str, Any]
"""Settings by the names that ``--set`` takes; an empty one is the settings as they were given."""

Space = Mapping[str, "Range"]
"""Ranges by the names of their settings."""

LARGEST_GRID = 10_000

_EXAMPLE = "a list such as [0.1, 1], or an interval such as 0.1..3 or 0.1..3 log"


class Suggests(Protocol):
    """What proposes values one after the other; an optuna trial is one."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...  # noqa: ANN401, D102

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...  # noqa: D102

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Range:
    """The values that one setting may take: choices, or an interval.

    Attributes:
        choices: all values; empty for an interval.
        low: of an interval, included.
        high: of an interval, included.
        log: whether an interval is searched by orders of magnitude.
        whole: whether an interval holds whole numbers only.
    """

    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def ends(self) -> tuple[Any, ...]:
        """The values that a mistake would show at: all choices, or both ends."""
        return self.choices or (self._value(self.low), self._value(self.high))

    def suggested(self, name: str, by: Suggests) -> Any:  # noqa: ANN401
        """One value, as a sampler of optuna's proposes it."""
        if self.choices:
            # By their place: searchers take scalars only, settings may be lists.
            places = list(range(len(self.choices)))
            return self.choices[by.suggest_categorical(name, places)]
        if self.whole:
            return by.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return by.suggest_float(name, self.low, self.high, log=self.log)

    def _value(self, number: float) -> float | int:
        return round(number) if self.whole else float(number)


def parse_range(name: str, given: object) -> Range:
    """Reads a range; raises :class:`InputError` for one that is none."""
    if isinstance(given, list) and given:
        return Range(choices=tuple(tuple(v) if isinstance(v, list) else v for v in given))
    if not isinstance(given, str) or ".." not in given:
        raise InputError(f"{name}: {given!r} is no range", expected=_EXAMPLE)
    text, log = given.removesuffix(" log"), given.endswith(" log")
    low, _, high = text.partition("..")
    try:
        ends = [yaml.safe_load(end) for end in (low, high)]
        found = Range(
            low=float(ends[0]),
            high=float(ends[1]),
            log=log,
            whole=all(isinstance(end, int) for end in ends),
        )
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{name}: {given!r} is no range", expected=_EXAMPLE) from error
    if not found.low < found.high < math.inf or (log and found.low <= 0):
        raise InputError(
            f"{name}: {given!r} is an empty range, or one without logarithms",
            expected="a lower end below the upper one, and above 0 with log",
        )
    return found


def read_space(file: Mapping[str, Any] | None, assignments: Sequence[str]) -> Space:
    """The ranges of a YAML file's content, and of ``KEY=RANGE`` assignments over them.

    Raises:
        InputError: an assignment or range that cannot be read.
    """
    given = flat(dict(file)) if file else {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"--over {assignment!r} is not KEY=RANGE",
                mend="For example --over 'kl.start=0.1..3 log'",
            )
        try:
            given[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"--over {assignment!r} is not readable", expected=_EXAMPLE) from error
    return {name: parse_range(name, value) for name, value in given.items()}


def usual_space(search: Search, settings: TrainingSettings) -> Space:
    """What is searched where nothing is said.

    Args:
        search: a grid gets a dozen points, the others wide ranges.
        settings: of which ``flows`` and ``algo`` count.
    """
    if search == "grid":
        return {
            "kl.schedule": Range(("constant", "linear", "cosine")),
            "kl.start": Range((0.3, 1.0)),
            "kl.direction": Range(("reference_to_policy", "policy_to_reference")),
        }
    total = settings.total_flows(0)
    return {
        "kl.schedule": Range(("constant", "linear", "cosine", "exponential")),
        "kl.start": Range(low=0.1, high=3.0, log=True),
        # Above 0, so that an exponential schedule reaches it.
        "kl.end": Range(low=0.001, high=0.1, log=True),
        "kl.length": Range((None, max(1, total // 2), max(1, total // 4))),
        "kl.direction": Range(("reference_to_policy", "policy_to_reference")),
        "kl.reference": Range(("hard", "soft")),
        # Tells among soft ones.
        "kl.temperature": Range(low=0.3, high=2.0, log=True),
        "learning.learning_rate": Range(low=1e-3, high=1e-2, log=True),
    }


def with_point(settings: TrainingSettings, point: Point) -> TrainingSettings:
    """Settings with a point's values in them; raises :class:`InputError` if they do not fit."""
    data = settings.model_dump()
    for name, value in point.items():
        *groups, last = name.split(".")
        place = data
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise InputError(f"{name} is not a setting")
        place[last] = value
    told = ", ".join(f"{name}={value}" for name, value in point.items())
    return parse(data, f"the sweep's point {told}" if told else "settings")


def check(space: Space, settings: TrainingSettings) -> None:
    """Tries the corners of a space, so that no trial fails for its settings after an hour.

    Raises:
        InputError: a name that is no setting, or values that do not go together.
    """
    corners = itertools.product(*(one.ends() for one in space.values()))
    for corner in itertools.islice(corners, LARGEST_GRID):
        with_point(settings, dict(zip(space, corner, strict=True)))


def grid(space: Space, settings: TrainingSettings) -> list[Point]:
    """All combinations, but for one that is the settings as they were given.

    Raises:
        InputError: an interval, of which there is no list, or too many combinations.
    """
    for name, one in space.items():
        if not one.choices:
            raise InputError(
                f"{name} has an interval, and a grid needs values",
                expected="a list such as [0.1, 0.3, 1]",
                mend="Or take --search random or model",
            )
    size = math.prod(len(one.choices) for one in space.values())
    if size > LARGEST_GRID:
        raise InputError(f"the grid has {size:,} points", expected=f"at most {LARGEST_GRID:,}")
    values = itertools.product(*(one.choices for one in space.values()))
    points = [dict(zip(space, each, strict=True)) for each in values]
    return [point for point in points if with_point(settings, point) != settings]


def drawn(space: Space, seed: int, count: int) -> list[Point]:
    """Random points, the same for the same seed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(count)]
    return [{name: one.suggested(name, trial) for name, one in space.items()} for trial in trials]
