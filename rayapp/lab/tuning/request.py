"""What a sweep is asked to do, and the folder that remembers it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs import InputError, Scenario
from envs.files import check_writable, write_json
from rayapp import algorithms
from rayapp.config import TrainingSettings, flat
from rayapp.lab.tuning import space
from rayapp.lab.tuning.outcome import Metric
from rayapp.lab.tuning.space import Point, Search, Space

FORMAT = 1
MANIFEST = "tuning.json"


@dataclass(frozen=True)
class Request:
    """A sweep.

    Attributes:
        settings: of every trial, but for what is searched; with ``flows``.
        over: ranges; empty for those of :func:`rayapp.lab.tuning.space.usual_space`.
        search: how points are chosen.
        trials: number of them with the settings as given; a grid has its own.
        metric: what counts.
        hold_out: share of the training flows that trials are scored on.
        full: train every trial to its end.
        seed: of the held-out draw and of the points.
        parallel: trials at a time; 0 means as many as Ray has processors.
    """

    settings: TrainingSettings
    over: Space
    search: Search = "model"
    trials: int = 12
    metric: Metric = "average"
    hold_out: float = 0.25
    full: bool = False
    seed: int = 0
    parallel: int = 0

    def ranges(self) -> Space:
        """What is searched."""
        return self.over or space.usual_space(self.search, self.settings)

    def points(self) -> list[Point] | None:
        """All trials' points, the settings as given first; ``None`` if a model chooses them."""
        if self.search == "model":
            return None
        if self.search == "grid":
            return [{}, *space.grid(self.ranges(), self.settings)]
        return [{}, *space.drawn(self.ranges(), self.seed, self.trials - 1)]

    def number(self) -> int:
        """Trials in all."""
        points = self.points()
        return self.trials if points is None else len(points)

    def check(self) -> None:
        """Raises :class:`InputError` for what cannot be searched."""
        if not self.settings.algorithm.has_lambda:
            known = [name for name, one in algorithms.BUILT_IN.items() if one.has_lambda]
            raise InputError(
                f"{self.settings.algo} has no KL term, and no lambda to schedule",
                expected=f"one of {', '.join(known)}",
            )
        if self.settings.graph.shared:
            raise InputError("trials share no graph", mend="Leave graph.shared out")
        self.settings.advice.spec()
        space.check(self.ranges(), self.settings)
        self.points()

    def to_json(self, scenario: Scenario) -> dict[str, Any]:
        """What the folder remembers; speed is left out."""
        free = {"runners", "checkpoint_seconds", "tracking"}
        return {
            "format": FORMAT,
            "fingerprint": scenario.fingerprint,
            "kind": scenario.kind,
            "search": self.search,
            "trials": self.number(),
            "metric": self.metric,
            "hold_out": self.hold_out,
            "full": self.full,
            "seed": self.seed,
            "ranges": {name: repr(one) for name, one in self.ranges().items()},
            "settings": self.settings.model_dump(mode="json", exclude=free),
        }


def begin(out: Path, request: Request, scenario: Scenario) -> None:
    """Begins a sweep, or finds the same one to go on with.

    Raises:
        InputError: the folder holds something else, or another sweep.
    """
    check_writable(out)
    request.check()
    # As JSON has it: tuples have become lists.
    wanted = json.loads(json.dumps(request.to_json(scenario)))
    file = out / MANIFEST
    if file.is_file():
        _check_same(file, wanted)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "exists and is no sweep",
            where=str(out),
            expected="a new folder, an empty one or an interrupted sweep",
            mend="Choose another --out",
        )
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, wanted)


def _check_same(file: Path, wanted: dict[str, Any]) -> None:
    try:
        found = flat(json.loads(file.read_bytes()))
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"not readable ({type(error).__name__})", where=str(file), mend="Choose another --out"
        ) from error
    now = flat(wanted)
    changed = [key for key in now if found.get(key) != now[key]]
    if changed:
        told = ", ".join(f"{key}: {found.get(key)} there, {now[key]} now" for key in changed[:3])
        raise InputError(
            f"holds another sweep ({told})",
            where=str(file.parent),
            mend="Give the same options as before, or another --out",
        )
