"""Whether the ratios to peers are still what they were: a small race against a kept baseline.

Ratios of rates in one race hardly depend on the machine, and the band is wide: a ratio outside of
it has changed, not wavered. The guard reports and decides nothing. A baseline of another scenario,
or of longer turns, is refused; other differences (processors, versions) are reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from envs import InputError, Scenario
from rayapp.lab.bench.peers.contender import flows_of
from rayapp.lab.bench.provenance import Provenance
from rayapp.lab.bench.train import FIRST, Listener, Rules, compare

BAND = 2.0
"""Factor by which a ratio may differ, up or down."""

CONTENDERS = (FIRST, "kirl ppo", "stable-baselines3 ppo", "vowpal wabbit", "tensor loop")

RULES = Rules(rounds=1, flows=2_000_000, seconds=3.0, patience=0.0, trial_seconds=1.0)

Verdict = Literal["as before", "slower", "faster"]


@dataclass(frozen=True)
class Watched:
    """One ratio.

    Attributes:
        name: the contender that :data:`FIRST` is compared with.
        ratio: of environment steps per second, now.
        baseline: what it was.
        verdict: whether it has left the band.
    """

    name: str
    ratio: float
    baseline: float
    verdict: Verdict

    @classmethod
    def of(cls, name: str, ratio: float, baseline: float) -> Watched:
        """Judges a ratio."""
        verdict: Verdict = "as before"
        if ratio < baseline / BAND:
            verdict = "slower"
        elif ratio > baseline * BAND:
            verdict = "faster"
        return cls(name, ratio, baseline, verdict)


@dataclass(frozen=True)
class Baseline:
    """Ratios that were, and the race they come from.

    Attributes:
        ratios: by contender.
        provenance: what was measured where.
        rules: how it was run.
    """

    ratios: dict[str, float]
    provenance: Provenance
    rules: Rules

    @classmethod
    def parsed(cls, data: Any) -> Baseline:  # noqa: ANN401
        """From what ``--json`` printed; ValueError, KeyError or TypeError if it is not that."""
        ratios = {str(name): float(ratio) for name, ratio in data["ratios"].items()}
        if not ratios or min(ratios.values()) <= 0:
            raise ValueError("no ratios above 0")
        return cls(ratios, Provenance(**data["provenance"]), Rules(**data["rules"]))


@dataclass(frozen=True)
class Found:
    """What ``kirl bench guard`` prints; a :class:`Baseline` for later.

    Attributes:
        ratios: of each contender.
        provenance: what was measured where.
        rules: how it was run.
        watched: each ratio beside its baseline.
        differences: between the baseline's provenance and this one, in words.
    """

    ratios: dict[str, float]
    provenance: Provenance
    rules: Rules
    watched: tuple[Watched, ...]
    differences: tuple[str, ...]


def watch(scenario: Scenario, baseline: Baseline | None, listener: Listener) -> Found:
    """Runs the small race and compares; about a minute.

    Args:
        scenario: prepared, on disk.
        baseline: contenders that are not in it are not run; ``None`` compares with nothing.
        listener: called after each turn.

    Raises:
        InputError: the baseline comes from another race; before anything is run.
    """
    here = Provenance.of(scenario, flows_of(scenario))
    if baseline is None:
        return Found(compare(scenario, RULES, listener, CONTENDERS).ratios, here, RULES, (), ())
    _check(baseline, here)
    names = tuple(name for name in CONTENDERS if name == FIRST or name in baseline.ratios)
    ratios = compare(scenario, RULES, listener, names).ratios
    differing = differences(baseline.provenance, here)
    return Found(ratios, here, RULES, judged(ratios, baseline), differing)


def judged(ratios: Mapping[str, float], baseline: Baseline) -> tuple[Watched, ...]:
    """Each ratio beside its baseline."""
    return tuple(Watched.of(name, one, baseline.ratios[name]) for name, one in ratios.items())


def _check(baseline: Baseline, here: Provenance) -> None:
    there = baseline.provenance
    sizes = [(one.kind, one.flows, one.actions) for one in (there, here)]
    if baseline.rules == RULES and sizes[0] == sizes[1]:
        return
    kind, flows, actions = sizes[1]
    raise InputError(
        f"the baseline comes from another race: {there.flows:,} {there.kind} flows, "
        f"{there.actions} actions, turns of {baseline.rules.flows:,} flows at most",
        where="--baseline",
        expected=f"one on {flows:,} {kind} flows with {actions} actions, by the guard's own rules",
        mend="Give what kirl bench guard --record --json printed for the same scenario",
    )


def differences(there: Provenance, here: Provenance) -> tuple[str, ...]:
    """What differs between two provenances, in words."""
    plain = [field.name for field in fields(here) if field.name != "versions"]
    sentences = [
        f"{name}: {getattr(there, name)} then, {getattr(here, name)} now"
        for name in plain
        if getattr(there, name) != getattr(here, name)
    ]
    then, now = (
        [f"{name} {which[name]}" for name in sorted(which) if which[name] != other.get(name)]
        for which, other in ((there.versions, here.versions), (here.versions, there.versions))
    )
    if then or now:
        sentences.append(f"versions: {', '.join(then) or '-'} then, {', '.join(now) or '-'} now")
    return tuple(sentences)


def read_baseline(path: Path | None) -> Baseline:
    """A baseline from a file, or the one that kirl ships.

    Raises:
        InputError: it is not such a file.
    """
    shipped = resources.files("rayapp.lab.bench").joinpath("baseline.json")
    try:
        text = path.read_text(encoding="utf-8") if path else shipped.read_text(encoding="utf-8")
        return Baseline.parsed(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a readable baseline ({type(error).__name__})",
            where=str(path or shipped),
            expected="an object with ratios, provenance and rules",
            mend="Give a file that kirl bench guard --record --json wrote",
        ) from error
