"""What one decision costs (section V): the policy, cached advice, the model in the loop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Scenario
from envs.datasets.synthetic import generator as synthetic
from kg_actor import records_of
from llm_actor.selection import build
from rayapp import config
from rayapp.lab.decisions import Decider, Latency, latency
from rayapp.rl.saved_policy import SavedPolicy
from rayapp.runs.folder import RunFolder

FLOWS = 2_000
ASKED_FLOWS = 100


@dataclass(frozen=True)
class Costs:
    """Seconds per decision, from a flow's features to an action, one flow at a time.

    Attributes:
        policy: plain PPO.
        cached_advice: PPO-KG, with the advice that training left.
        in_the_loop: PPO-KG, with the advisor asked about every flow.
        advisor: the advisor's name.
        kind: of advisor, as ``--advisor`` takes it.
    """

    policy: Latency
    cached_advice: Latency
    in_the_loop: Latency
    advisor: str
    kind: str

    @property
    def model(self) -> str:
        """What the page calls the advisor."""
        return "kirl's embedded language model" if self.kind == "embedded" else self.advisor

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


def measure(scenario: Scenario, plain: RunFolder, infused: RunFolder) -> Costs:
    """Measures on synthetic flows: what a flow holds does not matter to how long it takes.

    Args:
        scenario: of both runs.
        plain: a finished ppo run.
        infused: a finished ppo-kg run; its advisor is asked.

    Raises:
        ValueError: a run's policy is not a network.
    """
    features = synthetic.generate(FLOWS, seed=0, catalogue=scenario.catalogue).features
    catalogue, settings = scenario.catalogue, infused.manifest().settings
    detector = scenario.detector()
    advisor = build(settings.advice.spec())
    records = records_of(infused.graph().counts(), catalogue, config.beta_prior(settings.prior))
    deciders = [
        Decider(detector, network_of(folder), scenario.contexts, catalogue)
        for folder in (plain, infused)
    ]

    def asking(flow: NDArray[np.float32]) -> object:
        return deciders[1].decide_asking(flow, advisor, records)

    return Costs(
        latency(deciders[0].decide, features),
        latency(deciders[1].decide, features),
        latency(asking, features[:ASKED_FLOWS]),
        advisor.name,
        settings.advice.advisor,
    )


def network_of(folder: RunFolder) -> SavedPolicy:
    """A finished run's policy; ValueError unless it is a network."""
    policy = folder.policy()
    if not isinstance(policy, SavedPolicy):
        raise ValueError(f"{folder.path} holds no network")
    return policy
