"""Which bandit a run's settings ask for."""

from __future__ import annotations

from envs import Scenario
from rayapp import config
from rayapp.lab.baselines.linucb import LinUCB
from rayapp.lab.baselines.ridge import RewardModel
from rayapp.lab.baselines.thompson import ClassThompson, RewardThompson
from rayapp.lab.baselines.trainee import Bandit, BanditTrainee


def bandit_trainee(settings: config.TrainingSettings, scenario: Scenario) -> BanditTrainee:
    """The trainee of one of :data:`rayapp.config.BANDITS`, at its beginning."""
    return BanditTrainee(
        _bandit(settings, scenario),
        scenario.flow_set("train", matching=settings.matching),
        scenario.fingerprint,
        total=settings.total_flows(len(scenario.train[0])),
        flows_per_iteration=settings.ppo.flows_per_iteration,
        flows_per_update=settings.bandit.flows_per_update,
        prior=config.beta_prior(settings.prior),
        seed=settings.seed,
    )


def _bandit(settings: config.TrainingSettings, scenario: Scenario) -> Bandit:
    chosen, seed = settings.bandit, settings.seed
    predicted, catalogue = scenario.contexts.traffic, scenario.catalogue
    if settings.algo == "thompson" and chosen.posterior == "class":
        return ClassThompson(predicted, catalogue, config.beta_prior(settings.prior), seed)
    rewards = RewardModel(predicted, catalogue, chosen.ridge)
    if settings.algo == "thompson":
        return RewardThompson(rewards, chosen.noise, seed)
    return LinUCB(rewards, chosen.alpha)
