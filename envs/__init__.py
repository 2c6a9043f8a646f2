"""Traffic, signatures and the bandit: everything below the graph, without Ray and torch."""

from envs.bandit import ThreatMitigationEnv, ThreatMitigationVectorEnv, register
from envs.catalogue import PAPER, Catalogue
from envs.errors import InputError
from envs.flows import FEATURES, Flows
from envs.interactions import InteractionTable
from envs.scenario import Scenario
from envs.signatures import BetaPrior
from envs.state import Contexts, Counters, FlowSet, Suggestion, observation_space, observe

register()

__all__ = [
    "FEATURES",
    "PAPER",
    "BetaPrior",
    "Catalogue",
    "Contexts",
    "Counters",
    "FlowSet",
    "Flows",
    "InputError",
    "InteractionTable",
    "Scenario",
    "Suggestion",
    "ThreatMitigationEnv",
    "ThreatMitigationVectorEnv",
    "observation_space",
    "observe",
    "register",
]
