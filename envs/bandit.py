"""The paper's one-step environment (section III-A), as a scalar and as a vector environment.

Both step the same rules: :class:`Situation` says what is observed, the catalogue says
what an action earns, :class:`Counters` how confidence grows. The classes only wire these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.signatures import BetaPrior
from envs.state import (
    Counters,
    Decided,
    FlowSet,
    Observations,
    Suggestion,
    observation_space,
    observe,
)
from envs.stream import FlowStream


class Situation:
    """A stretch of the flow stream under given counters and suggestions."""

    def __init__(
        self, flows: FlowSet, prior: BetaPrior, *, augmented: bool, seed: int, start: int
    ) -> None:
        self.flows = flows
        self.augmented = augmented
        self.prior = prior
        self.suggestion = _silent(len(flows.contexts)) if augmented else None
        self.restart(seed, start)

    def restart(self, seed: int, start: int) -> None:
        """Back to the first flow of a seeded stream, with nothing counted yet."""
        self.stream = FlowStream(len(self.flows), seed)
        self.counters = Counters.zeros(len(self.flows.contexts.predicted), self.prior)
        self.position = start

    def draw(self, count: int, stride: int) -> NDArray[np.int32]:
        """The next ``count`` flows; the position moves on by ``stride``."""
        indices = self.stream.take(self.position, count)
        self.position += stride
        return indices

    def observe(self, context: NDArray[np.int32]) -> Observations:
        """What the agent sees of flows that are met in these contexts."""
        return observe(context, self.flows.contexts, self.counters, self.suggestion)

    def count(self, context: NDArray[np.int32], actual: NDArray[np.int8]) -> None:
        """Counts flows that were decided, and those of them that were detected correctly."""
        contexts = self.flows.contexts
        signature = contexts.signature[context]
        self.counters.add(signature, contexts.predicted[signature] == actual)

    def about(
        self, flow: NDArray[np.int32], context: NDArray[np.int32]
    ) -> dict[str, NDArray[np.int32] | NDArray[np.int8]]:
        """What infos say of flows: their indices, contexts, signatures and predicted classes."""
        signature = self.flows.contexts.signature[context]
        return {
            "flow": flow,
            "context": context,
            "signature": signature,
            "predicted": self.flows.contexts.predicted[signature],
        }


def _silent(contexts: int) -> Suggestion:
    return Suggestion(np.zeros(contexts, np.int16), np.zeros(contexts, np.float32))


def _flow_set(scenario: FlowSet | str | Path, split: str) -> FlowSet:
    if isinstance(scenario, FlowSet):
        return scenario
    # Reading a scenario is not the environment's business; only gym.make() by path needs it.
    from envs.scenario import Scenario

    return Scenario.load(Path(scenario)).flow_set(split)


class ThreatMitigationEnv(gym.Env[Observations, np.int64]):
    """One network flow, one decision: a contextual bandit (paper, section III-A).

    **Situation.** An intrusion detector has matched a flow to one of its signatures and
    predicted a traffic class, sometimes wrongly. The agent sees the prediction, not the truth,
    and picks one mitigation.

    **Actions.** ``Discrete(15)`` with the paper's catalogue: an index into
    ``catalogue.actions``, the 14 mitigations of Table II in order of first mention, then
    'No Action'.

    **Observation.** float32 vector, eq. 2 (eq. 4 with ``augmented=True``):

    === ======= ================================================ ================
    no. symbol  meaning                                          range
    === ======= ================================================ ================
    0   y       index of the predicted class                     0 .. classes-1
    1   ID(sig) the signature that matched                       0 .. signatures-1
    2   N       flows this signature has matched so far          0 ..
    3   C       those of them detected correctly                 0 .. N
    4   B       (alpha + C) / (alpha + beta + N), eq. 1          0 .. 1
    5   A_LLM   suggested action (``augmented`` only)            0 .. actions-1
    6   R_LLM   its historic reward (``augmented`` only)         -5 .. 5
    === ======= ================================================ ================

    Where the scenario has a second opinion, two more columns stand behind these: the class that
    the second opinion finds the likeliest (0 .. classes-1), and how sure it is (0 .. 1).

    **Starting state.** The next flow of a seeded pass over the set; each pass is a new
    permutation and holds every flow exactly once. ``reset(seed=s)`` begins pass 0 of seed s
    with all counters at 0; ``reset()`` goes on with the next flow and keeps the counters.

    **Reward** (eq. 3). 6 - k for the k-th ranked mitigation of the *actual* class, k = 1 .. 5;
    -5 for any other action. For benign traffic 'No Action' earns 5, all else -5.

    **Episode end.** Always after one step (``terminated``, never ``truncated``). The step's
    observation is that of the same signature with this flow counted. ``info`` then holds the
    flow's ``actual`` class; ``context``, ``signature``, ``predicted`` and ``flow`` (its index)
    are in both infos.

    Args:
        scenario: a :class:`FlowSet`, or the path of a prepared scenario.
        split: which of the scenario's splits to use when ``scenario`` is a path.
        prior: of the signatures' confidence.
        augmented: adds A_LLM and R_LLM; until :meth:`set_suggestion` both are 0.
        seed: of the first stream, when reset() is never given one.
        worker_index: this copy's number among those that share the passes, from 0.
        num_workers: how many copies share the passes; no flow of a pass goes to two of them.

    Reference: Towhid et al., "Cyber Threat Mitigation with Knowledge-Infused Reinforcement
    Learning and LLM-Guided Policies", section III-A.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (as declared by gymnasium)

    def __init__(
        self,
        scenario: FlowSet | str | Path,
        *,
        split: str = "train",
        prior: BetaPrior | None = None,
        augmented: bool = False,
        seed: int = 0,
        worker_index: int = 0,
        num_workers: int = 1,
    ) -> None:
        flows = _flow_set(scenario, split)
        self.catalogue = flows.catalogue
        self._start, self._stride = worker_index, num_workers
        self.situation = Situation(
            flows, prior or BetaPrior(), augmented=augmented, seed=seed, start=self._start
        )
        self.observation_space = observation_space(
            len(flows.contexts.predicted),
            flows.catalogue,
            suggestion=augmented,
            opinion=flows.contexts.has_opinion,
        )
        self.action_space = gym.spaces.Discrete(len(flows.catalogue.actions))
        self._flow: NDArray[np.int32] | None = None

    def set_suggestion(self, suggestion: Suggestion) -> None:
        """Replaces A_LLM and R_LLM; needs ``augmented=True``."""
        _require_augmented(self.situation)
        self.situation.suggestion = suggestion

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Goes to the next flow; with a seed, to the first flow of that seed's stream."""
        super().reset(seed=seed)
        if seed is not None:
            self.situation.restart(seed, self._start)
        self._flow = self.situation.draw(1, self._stride)
        return self._observe(), self._info()

    def step(
        self, action: np.int64 | int
    ) -> tuple[Observations, float, bool, bool, dict[str, Any]]:
        """Applies one mitigation and ends the episode.

        Raises:
            gymnasium.error.InvalidAction: the action is outside the action space.
            gymnasium.error.ResetNeeded: the episode is over.
        """
        if self._flow is None:
            raise gym.error.ResetNeeded("an episode is one step; call reset() for the next flow")
        if not self.action_space.contains(action):
            raise gym.error.InvalidAction(f"{action!r} is not in {self.action_space}")
        flows = self.situation.flows
        actual = flows.actual[self._flow]
        reward = float(self.catalogue.rewards[actual[0], action])
        self.situation.count(flows.context[self._flow], actual)
        observation = self._observe()
        info = self._info() | {"actual": int(actual[0])}
        self._flow = None
        return observation, reward, True, False, info

    def _observe(self) -> Observations:
        assert self._flow is not None  # noqa: S101 (for the type checker)
        row: Observations = self.situation.observe(self.situation.flows.context[self._flow])[0]
        return row

    def _info(self) -> dict[str, Any]:
        assert self._flow is not None  # noqa: S101 (for the type checker)
        about = self.situation.about(self._flow, self.situation.flows.context[self._flow])
        return {name: int(values[0]) for name, values in about.items()}


class ThreatMitigationVectorEnv(
    VectorEnv[Observations, NDArray[np.integer[Any]], NDArray[np.float64]]
):
    """n flows at a time: :class:`ThreatMitigationEnv`, vectorised truly rather than by loop.

    Every sub-environment follows the scalar environment's specification, with these additions:

    * The n sub-environments share one set of counters. They are frozen while n flows are
      decided and grow by all n at once, so the order within a step does not matter.
    * Episodes end at every step, so the vector resets in the same step
      (``AutoresetMode.SAME_STEP``): ``step`` returns the next n flows' observations, and
      ``infos["final_obs"]`` holds the finished ones', float32 [n, columns].
    * Infos are struct-of-arrays with gymnasium's masks: ``flow``, ``context``, ``signature``,
      ``predicted`` describe the observations returned; ``final_info`` holds the same and
      ``actual`` for the flows just decided.

    Rewards are float64 [n]; terminations are all true, truncations all false.

    Args:
        num_envs: n, flows per step. Other arguments are the scalar environment's.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (as declared by gymnasium)
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        scenario: FlowSet | str | Path,
        num_envs: int = 1,
        *,
        split: str = "train",
        prior: BetaPrior | None = None,
        augmented: bool = False,
        seed: int = 0,
        worker_index: int = 0,
        num_workers: int = 1,
    ) -> None:
        flows = _flow_set(scenario, split)
        self.num_envs = num_envs
        self.catalogue = flows.catalogue
        self._start, self._stride = worker_index * num_envs, num_workers * num_envs
        self.situation = Situation(
            flows, prior or BetaPrior(), augmented=augmented, seed=seed, start=self._start
        )
        self.single_observation_space = observation_space(
            len(flows.contexts.predicted),
            flows.catalogue,
            suggestion=augmented,
            opinion=flows.contexts.has_opinion,
        )
        self.single_action_space = gym.spaces.Discrete(len(flows.catalogue.actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._flow: NDArray[np.int32] | None = None
        self._all = np.ones(num_envs, dtype=np.bool_)

    def set_suggestion(self, suggestion: Suggestion) -> None:
        """Replaces A_LLM and R_LLM from the next observation on; needs ``augmented=True``."""
        _require_augmented(self.situation)
        self.situation.suggestion = suggestion

    def set_counters(self, counters: Counters) -> None:
        """Replaces N and C from the next observation on, by a graph's counts for example.

        The prior stays the environment's own.
        """
        prior = self.situation.prior
        self.situation.counters = Counters(counters.seen.copy(), counters.correct.copy(), prior)

    def seek(self, position: int) -> None:
        """Makes the next flows drawn those at ``position`` of the stream."""
        self.situation.position = position

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Goes to the next n flows; with a seed, to the first n of that seed's stream.

        The sub-environments share one stream, so of a list of seeds the first one counts.
        """
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first)
        if first is not None:
            self.situation.restart(first, self._start)
        context = self.meet()
        assert self._flow is not None  # noqa: S101 (for the type checker)
        return self.situation.observe(context), self._infos(self._flow, context)

    def meet(self) -> NDArray[np.int32]:
        """Goes to the next n flows as :meth:`reset` does; returns their contexts alone.

        For agents that know what each context looks like, and need no row per flow.

        Returns:
            int32 [n], contexts.
        """
        self._flow = self.situation.draw(self.num_envs, self._stride)
        self._context: NDArray[np.int32] = self.situation.flows.context[self._flow]
        return self._context

    def decide(self, actions: NDArray[np.integer[Any]]) -> Decided:
        """Decides the n flows at hand and counts them; :meth:`meet` goes to the next ones.

        Raises:
            gymnasium.error.InvalidAction: wrong shape, or an action outside the action space.
            gymnasium.error.ResetNeeded: there are no flows at hand.
        """
        if self._flow is None:
            raise gym.error.ResetNeeded("call reset() before the first step()")
        self._check(actions)
        flow, context = self._flow, self._context
        actual = self.situation.flows.actual[flow]
        self.situation.count(context, actual)
        self._flow = None
        return Decided(
            flow, context, actual, self.catalogue.rewards[actual, actions].astype(np.float64)
        )

    def step(  # type: ignore[override]  # gymnasium types terminations as if they were rewards
        self, actions: NDArray[np.integer[Any]]
    ) -> tuple[
        Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Decides n flows and draws the next n.

        Raises:
            gymnasium.error.InvalidAction: wrong shape, or an action outside the action space.
            gymnasium.error.ResetNeeded: reset() was never called.
        """
        done = self.decide(actions)
        final_info = self._infos(done.flow, done.context)
        final_info |= {"actual": done.actual, "_actual": self._all}
        final_obs = self.situation.observe(done.context)
        context = self.meet()
        assert self._flow is not None  # noqa: S101 (for the type checker)
        infos = self._infos(self._flow, context) | {
            "final_obs": final_obs,
            "_final_obs": self._all,
            "final_info": final_info,
            "_final_info": self._all,
        }
        observed = self.situation.observe(context)
        return observed, done.reward, self._all.copy(), ~self._all, infos

    def _check(self, actions: NDArray[np.integer[Any]]) -> None:
        count = len(self.catalogue.actions)
        if np.shape(actions) != (self.num_envs,):
            raise gym.error.InvalidAction(
                f"expected {self.num_envs} actions, got shape {np.shape(actions)}"
            )
        if not np.issubdtype(np.asarray(actions).dtype, np.integer):
            raise gym.error.InvalidAction("actions must be integers")
        if self.num_envs and not (np.min(actions) >= 0 and np.max(actions) < count):
            raise gym.error.InvalidAction(f"actions must be in 0 .. {count - 1}")

    def _infos(self, flow: NDArray[np.int32], context: NDArray[np.int32]) -> dict[str, Any]:
        fields: dict[str, Any] = {**self.situation.about(flow, context)}
        return fields | {f"_{name}": self._all for name in fields}


def _require_augmented(situation: Situation) -> None:
    if not situation.augmented:
        raise ValueError("suggestions need an environment made with augmented=True")


def register() -> None:
    """Registers ``kirl/ThreatMitigation-v0`` with gymnasium; calling it again does nothing."""
    if "kirl/ThreatMitigation-v0" in gym.registry:
        return
    gym.register(
        id="kirl/ThreatMitigation-v0",
        entry_point="envs.bandit:ThreatMitigationEnv",
        vector_entry_point="envs.bandit:ThreatMitigationVectorEnv",
    )
