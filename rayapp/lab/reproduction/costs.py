"""What one decision costs (section V): the policy, cached advice, the model in the loop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from envs import Scenario
from envs.datasets import registry
from kg_actor import records_of
from llm_actor.selection import build
from rayapp import config
from rayapp.decisions.decider import Decider
from rayapp.lab.decisions import AskingDecider, Latency, latency
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
    features = registry.drawn(FLOWS, 0, scenario.catalogue).read().features
    catalogue, settings = scenario.catalogue, infused.manifest().settings
    advisor = build(settings.advice.spec())
    records = records_of(infused.graph().counts(), catalogue, config.beta_prior(settings.prior))
    alone, cached = (Decider.of(folder, scenario) for folder in (plain, infused))
    asking = AskingDecider(cached, network_of(infused), advisor, records)
    return Costs(
        latency(alone.actions, features),
        latency(cached.actions, features),
        latency(asking.actions, features[:ASKED_FLOWS]),
        advisor.name,
        settings.advice.advisor,
    )


def network_of(folder: RunFolder) -> SavedPolicy:
    """A finished run's policy; ValueError unless it is a network."""
    policy = folder.policy()
    if not isinstance(policy, SavedPolicy):
        raise ValueError(f"{folder.path} holds no network")
    return policy
