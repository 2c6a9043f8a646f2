"""A run's settings as RLlib's configuration, and the algorithm built from it."""

from __future__ import annotations

from pathlib import Path

from rayapp import config
from rayapp.learning import RLlibLearning
from rayapp.rl.config import KnowledgeConfig
from rayapp.runs.folder import RunFolder, RunManifest, shared_name
from rayapp.runs.trainee import Trainee


def trainee(manifest: RunManifest, folder: RunFolder) -> Trainee:
    """RLlib's algorithm of a run, at its beginning. Ray must be running.

    Raises:
        InputError: a file of lessons cannot be read.
    """
    graph = manifest.settings.graph
    # A run that is resumed was taught at its beginning.
    lessons = () if manifest.flows else graph.read_lessons(folder.scenario().catalogue)
    configured = rllib_config(manifest.settings, folder.scenario_folder).knowledge(
        run_name=manifest.name,
        graph_folder=folder.graph_folder,
        shared_graph=shared_name(graph.shared) if graph.shared else None,
        graph_resource=graph.resource,
        lessons=lessons,
    )
    algorithm: Trainee = configured.build_algo()
    return algorithm


def rllib_config(settings: config.TrainingSettings, scenario: Path) -> KnowledgeConfig:
    """RLlib's configuration by settings alone: without a run's name, graph and lessons.

    Args:
        settings: with ``flows``.
        scenario: the scenario's folder.

    Raises:
        TypeError: the settings' algorithm is none of RLlib's.
    """
    learning, kl, advice = settings.learning, settings.kl, settings.advice
    if not isinstance(learning, RLlibLearning):
        raise TypeError(f"{settings.algo} is no algorithm of RLlib's")
    algorithm: KnowledgeConfig = (
        learning.rllib()
        .scenario(
            scenario,
            encoder=settings.network.encoder,
            hidden=settings.network.hidden,
            embedding_dim=settings.network.embedding_dim,
            infuse=settings.algorithm.advised,
            matching=settings.matching,
        )
        .knowledge(
            half_life=settings.graph.half_life,
            total_env_steps=settings.total_flows(0),
            prior=config.beta_prior(settings.prior),
            advisor=advice.spec(),
            advice_wait=advice.wait or advice.advisor == "graph-reader",
            advice_max_age=advice.max_age,
            advisor_need=advice.need(),
            advisor_limits=advice.limits(),
            kl_direction=kl.direction,
            kl_schedule=kl.schedule_of_lambda(),
            reference=kl.reference_of_advice(),
            reference_flows=_reference_flows(settings),
            cloning_steps=settings.cloning.steps if _clones(settings) else 0,
        )
        .online(
            feedback_delay=settings.online.delay,
            drift=settings.online.drift.drift(),
        )
        .env_runners(num_env_runners=settings.runners)
        .fault_tolerance(restart_failed_env_runners=True)
        .debugging(seed=settings.seed, log_level="ERROR")
    )
    return algorithm


def _clones(settings: config.TrainingSettings) -> bool:
    return settings.algorithm.advisor_acts == "first"


def _reference_flows(settings: config.TrainingSettings) -> int:
    total = settings.total_flows(0)
    if _clones(settings):
        return min(settings.cloning.flows, total)
    return total if settings.algorithm.advisor_acts == "always" else 0
