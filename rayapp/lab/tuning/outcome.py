"""What a sweep found: its trials, and which of them to take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from envs import FlowSet
from rayapp.lab.tuning.space import Point

Metric = Literal["average", "class-mean"]

COLUMNS: dict[Metric, str] = {"average": "average_reward", "class-mean": "class_mean_reward"}
"""What trials report, by the name that the command knows it under."""

Ending = Literal["complete", "stopped early", "failed"]


@dataclass(frozen=True)
class Tried:
    """A trial.

    Attributes:
        point: its settings; empty for those that were given.
        state: how it ended; only complete ones can be the best.
        flows: flows it trained on.
        average_reward: on the held-out flows.
        class_mean_reward: the same, each class counting alike.
        history: (flows, score by the sweep's metric) at every report.
        folder: of its last checkpoint.
        problem: why it failed.
    """

    point: Point
    state: Ending
    flows: int = 0
    average_reward: float = float("nan")
    class_mean_reward: float = float("nan")
    history: tuple[tuple[int, float], ...] = ()
    folder: str | None = None
    problem: str | None = None

    def score(self, metric: Metric) -> float:
        """The score that trials are compared by."""
        return self.average_reward if metric == "average" else self.class_mean_reward

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields; where nothing was scored there is ``null``."""
        fields = asdict(self)
        del fields["folder"]
        rewards = ("average_reward", "class_mean_reward")
        return fields | {name: _number(fields[name]) for name in rewards}


@dataclass(frozen=True)
class Gain:
    """How much more one policy earns than another on the same flows.

    Attributes:
        mean: of the difference in reward.
        error: its standard error over flows. That of training anew with another seed is not
            in it.
    """

    mean: float
    error: float

    @property
    def beyond_chance(self) -> bool:
        """Whether it is more than a standard error."""
        return self.mean > self.error


def gain(
    better: NDArray[np.integer[Any]],
    worse: NDArray[np.integer[Any]],
    flows: FlowSet,
    distinct: int,
    metric: Metric,
) -> Gain:
    """Compares two policies on flows that are held out.

    Args:
        better: [signatures], the action of the one on each signature.
        worse: the same of the other.
        flows: held-out flows, each once per draw of the honest matching, draw after draw.
        distinct: how many different ones they are: draws of one flow are no evidence of their own.
        metric: every flow counts alike, or every class.
    """
    rewards = flows.catalogue.rewards
    earned = (rewards[flows.actual, policy[flows.context]] for policy in (better, worse))
    first, second = (each.astype(np.float64).reshape(-1, distinct).mean(axis=0) for each in earned)
    difference, actual = first - second, flows.actual[:distinct]
    if metric == "average":
        return Gain(float(difference.mean()), _standard_error(difference))
    parts = [difference[actual == c] for c in np.unique(actual)]
    means, errors = zip(*((part.mean(), _standard_error(part)) for part in parts), strict=True)
    return Gain(float(np.mean(means)), float(np.sqrt(np.square(errors).sum()) / len(parts)))


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
