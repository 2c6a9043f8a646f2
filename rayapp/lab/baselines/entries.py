"""The baselines as ``kirl train --algo`` finds them, through kirl's own entry points.

Importing this is light; torch comes when a trainee is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayapp import config
from rayapp.algorithms import Algorithm
from rayapp.lab.baselines.learning import LinUCBLearning, SupervisedLearning, ThompsonLearning

if TYPE_CHECKING:
    from rayapp.lab.baselines.trainee import Bandit
    from rayapp.runs.folder import RunFolder, RunManifest
    from rayapp.runs.trainee import Trainee


def _supervised(manifest: RunManifest, folder: RunFolder) -> Trainee:
    from rayapp.lab.baselines.supervised import SupervisedTrainee
    from rayapp.rl.networks import NetworkSpec

    settings, scenario = manifest.settings, folder.scenario()
    own, catalogue = SupervisedLearning.model_validate(settings.learning), scenario.catalogue
    spec = NetworkSpec(
        signatures=len(scenario.signatures),
        classes=len(catalogue.classes),
        actions=len(catalogue.actions),
        augmented=False,
        reward_scale=catalogue.reward_scale,
        encoder=settings.network.encoder,
        embedding_dim=settings.network.embedding_dim,
        hidden=settings.network.hidden,
        opinion=scenario.has_opinion,
    )
    return SupervisedTrainee(
        scenario.flow_set("train", matching=settings.matching),
        spec,
        scenario.fingerprint,
        epoch_flows=len(scenario.train[0]),
        total=manifest.total,
        batch_flows=own.batch_flows,
        learning_rate=own.learning_rate,
        prior=config.beta_prior(settings.prior),
        seed=settings.seed,
    )


def _linucb(manifest: RunManifest, folder: RunFolder) -> Trainee:
    from rayapp.lab.baselines.linucb import LinUCB
    from rayapp.lab.baselines.ridge import RewardModel
    from rayapp.lab.baselines.trainee import BanditTrainee

    own, scenario = LinUCBLearning.model_validate(manifest.settings.learning), folder.scenario()
    rewards = RewardModel(scenario.contexts.traffic, scenario.catalogue, own.ridge)
    return BanditTrainee.of_run(LinUCB(rewards, own.alpha), manifest, scenario)


def _thompson(manifest: RunManifest, folder: RunFolder) -> Trainee:
    from rayapp.lab.baselines.ridge import RewardModel
    from rayapp.lab.baselines.thompson import ClassThompson, RewardThompson
    from rayapp.lab.baselines.trainee import BanditTrainee

    settings, scenario = manifest.settings, folder.scenario()
    own = ThompsonLearning.model_validate(settings.learning)
    predicted, catalogue = scenario.contexts.traffic, scenario.catalogue
    bandit: Bandit
    if own.posterior == "class":
        prior = config.beta_prior(settings.prior)
        bandit = ClassThompson(predicted, catalogue, prior, settings.seed)
    else:
        rewards = RewardModel(predicted, catalogue, own.ridge)
        bandit = RewardThompson(rewards, own.noise, settings.seed)
    return BanditTrainee.of_run(bandit, manifest, scenario)


DL = Algorithm(
    "dl",
    "Trains the policy network as a classifier of best actions, as the paper's DL does.",
    SupervisedLearning,
    uses=frozenset({"network", "prior"}),
    trainee=_supervised,
    passes=100.0,
)
LINUCB = Algorithm(
    "linucb",
    "Plays the action with the highest upper bound on its reward, a linear contextual bandit.",
    LinUCBLearning,
    trainee=_linucb,
)
THOMPSON = Algorithm(
    "thompson",
    "Draws rewards from their posterior and plays the action that the draw likes best.",
    ThompsonLearning,
    trainee=_thompson,
)
