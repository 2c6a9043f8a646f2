"""All algorithms that ``kirl train --algo`` takes, in one registry.

Six are built in. Any installed package adds others by an entry point of the group
``kirl.algorithms`` whose name is the algorithm's and whose object is an :class:`Algorithm`::

    [project.entry-points."kirl.algorithms"]
    epsilon-greedy = "my_package.epsilon_greedy:ENTRY"

kirl's own baselines ``dl``, ``linucb`` and ``thompson`` come in this way. Entry points are read
from installed metadata, and a package is imported when its algorithm is named.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal

from envs import InputError
from rayapp.learning import DQNLearning, Learning, PPOLearning, RLlibLearning

if TYPE_CHECKING:
    # They take torch and Ray, which --help and the graph do without.
    from rayapp.runs.folder import RunFolder, RunManifest
    from rayapp.runs.trainee import Trainee

ENTRY_POINTS = "kirl.algorithms"
"""The group of entry points that add algorithms."""


@dataclass(frozen=True)
class Algorithm:
    """An algorithm: what it is, which settings it has, and how a run's trainee is made.

    Attributes:
        name: as ``--algo`` takes it.
        about: one sentence for people who choose.
        learning: model of its own settings, the group ``learning``.
        uses: the other groups of settings that it has a use for. What has ``graph`` keeps a
            knowledge graph and needs Ray; what has ``advice`` asks an advisor.
        trainee: makes the trainee of a run, at the run's beginning. It should import what is
            heavy (torch, Ray) when it is called. ``None`` for RLlib's algorithms, which
            :mod:`rayapp.runs.rllib` makes.
        passes: passes over the training flows if the user names no number of flows.
        advisor_acts: on which flows the advisor acts instead of the policy: ``never``, ``first``
            (on ``cloning.flows``, from which the policy is then cloned) or ``always``.
    """

    name: str
    about: str
    learning: type[Learning]
    uses: frozenset[str] = frozenset({"prior"})
    trainee: Callable[[RunManifest, RunFolder], Trainee] | None = None
    passes: float = 5.0
    advisor_acts: Literal["never", "first", "always"] = "never"

    @property
    def advised(self) -> bool:
        """Whether an advisor reads the graph for it."""
        return "advice" in self.uses

    @property
    def keeps_graph(self) -> bool:
        """Whether it keeps a knowledge graph, which is an actor of Ray's."""
        return "graph" in self.uses

    @property
    def has_lambda(self) -> bool:
        """Whether a policy of its own is held to advice by lambda * KL (eq. 6)."""
        return "kl" in self.uses and self.advisor_acts != "always"


_PLAIN = frozenset({"network", "prior", "online", "graph"})
_ADVISED = _PLAIN | {"kl", "advice"}

BUILT_IN = {
    one.name: one
    for one in (
        Algorithm(
            "ppo",
            "Learns by proximal policy optimisation, without advice.",
            PPOLearning,
            _PLAIN,
        ),
        Algorithm(
            "ppo-kg",
            "Adds advice from the knowledge graph to PPO's state, and a KL term to its loss.",
            PPOLearning,
            _ADVISED,
        ),
        Algorithm(
            "ppo-kg-pt",
            "Clones the advisor's policy first, then learns as ppo-kg does.",
            PPOLearning,
            _ADVISED | {"cloning"},
            advisor_acts="first",
        ),
        Algorithm(
            "llm-kg",
            "Lets the advisor act alone on what the graph has gathered; no policy learns.",
            RLlibLearning,
            _ADVISED - {"network"},
            advisor_acts="always",
        ),
        Algorithm(
            "dqn",
            "Learns every action's reward by deep Q-learning, without advice.",
            DQNLearning,
            _PLAIN,
        ),
        Algorithm(
            "dqn-kg",
            "Adds advice from the knowledge graph to DQN's state, and a KL term to its loss.",
            DQNLearning,
            _ADVISED,
        ),
    )
}
"""The algorithms that ship with the product, by name."""


def names() -> tuple[str, ...]:
    """Every name that ``--algo`` takes, those of installed packages included."""
    added = {entry.name for entry in entry_points(group=ENTRY_POINTS)}
    return (*BUILT_IN, *sorted(added - BUILT_IN.keys()))


def find(name: str) -> Algorithm:
    """The algorithm of a name.

    Raises:
        InputError: there is none, or the package that adds it cannot be used.
    """
    return BUILT_IN.get(name) or _added(name)


@functools.cache
def _added(name: str) -> Algorithm:
    entries = entry_points(group=ENTRY_POINTS, name=name)
    if not entries:
        raise InputError(
            f"no algorithm is called {name!r}",
            expected=f"one of {', '.join(names())}",
            mend="Install the package that adds it, or choose another",
        )
    entry = next(iter(entries))
    try:
        algorithm = entry.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"algorithm {name!r} cannot be loaded ({error})",
            where=f"entry point {entry.value}",
            mend="Mend or remove the package that adds it",
        ) from error
    if not isinstance(algorithm, Algorithm) or algorithm.name != name:
        raise InputError(
            f"is not an algorithm called {name!r}",
            where=f"entry point {entry.value}",
            expected=f"a rayapp.algorithms.Algorithm whose name is {name!r}",
            mend="Mend or remove the package that adds it",
        )
    return algorithm
