"""Which trainings reproduce the paper, and with which settings.

Paper settings are as close as its text allows; :data:`OPEN_CHOICES` lists what the text leaves
open and the value chosen. kirl settings are the defaults of ``kirl train``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rayapp import algorithms, config
from rayapp.config import TrainingSettings
from rayapp.lab.reproduction import paper

Preset = Literal["paper", "kirl"]
Experiment = Literal["main", "figure 3", "ablation", "others", "online"]

SYSTEMS = ("ppo", "ppo-kg", "ppo-kg-pt", "llm-kg", "dl")
"""The paper's five (section IV-A)."""

PAPER_SETTINGS: tuple[str, ...] = (
    "matching=fitted",
    "network.encoder=raw",
    "kl.direction=policy_to_reference",
    "kl.reference=hard",
    "kl.schedule=linear",
    "learning.class_balance=0.0",
    "learning.flows_per_iteration=4096",
    "learning.epochs=10",
    "learning.learning_rate=3.0e-4",
    "learning.clip=0.2",
    "learning.value_coefficient=0.5",
    "learning.gradient_clip=0.5",
    f"cloning.epochs={paper.CLONING_EPOCHS}",
)
"""Settings as ``--set`` takes them, on top of the defaults; a system takes those that it has."""

OPEN_CHOICES: tuple[tuple[str, str], ...] = (
    ("flows per update", "4,096; the paper speaks of a fixed number of flows per cycle"),
    (
        "PPO's own settings",
        "10 epochs, Adam at 0.0003, clip 0.2, value coefficient 0.5, gradient norm clipped at "
        "0.5: common defaults, and the paper mentions gradient clipping",
    ),
    ("network", "two layers of 64, tanh, for policy and value apart"),
    ("state vector", "eq. 2 and 4 as they are, unscaled; no encoding is mentioned"),
    (
        "reference policy",
        "0.99 on the advised action and 0.01 spread over all: the paper's model names one "
        "action, and eq. 5 is infinite without some spread",
    ),
    ("end of the annealing", "lambda falls linearly from 1 to 0 over the whole training"),
    (
        "graph to clone from",
        "the first 262,144 flows, or half of a shorter training, on which the model acts alone; "
        "the paper has a graph 'ready'",
    ),
    (
        "language model",
        "the embedded one; the paper's Phi-3.5 by --advisor transformers, others by --set advice.*",
    ),
    ("split", "70/30, stratified; the paper does not say how it draws"),
)
"""What the paper leaves open, and what is taken."""

OTHERS = ("dqn", "dqn-kg", "linucb", "thompson", "thompson on signatures")
"""Systems beyond the paper's."""

_VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "thompson on signatures": ("thompson", ("learning.posterior=class",))
}
"""Systems that are an algorithm with a setting of their own, by name."""

ABLATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("flows met as fitted, no cross-fitting", ("matching=fitted",)),
    ("all flows count alike", ("learning.class_balance=0.0",)),
    ("KL(policy to reference), eq. 5", ("kl.direction=policy_to_reference",)),
    ("lambda stays 1", ("kl.schedule=constant",)),
    ("no KL term, advice in the state alone", ("kl.start=0.0",)),
    ("reference: all probabilities", ("kl.reference=soft",)),
    ("advice by graph reader, no language model", ("advice.advisor=graph-reader",)),
    ("raw state vector", ("network.encoder=raw",)),
)
"""ppo-kg in kirl settings with one ingredient changed."""

MECHANISMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("KL(reference to policy)", ("kl.direction=reference_to_policy",)),
    ("embedding of signatures", ("network.encoder=embedding",)),
    (
        "both, KL(reference to policy) and embedding",
        ("kl.direction=reference_to_policy", "network.encoder=embedding"),
    ),
)
"""ppo-kg in paper settings with what may be in its way taken out: they test why it falls short."""


CHANGES: dict[Preset, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "paper": MECHANISMS,
    "kirl": ABLATIONS,
}
"""What is changed, one at a time, under whose settings."""


@dataclass(frozen=True)
class Trial:
    """One training of the reproduction.

    Attributes:
        preset: whose settings.
        experiment: what it is for.
        name: the system or the change, as tables call it.
        settings: complete but for ``flows``, which may follow from passes.
    """

    preset: Preset
    experiment: Experiment
    name: str
    settings: TrainingSettings

    @property
    def folder(self) -> str:
        """Its run's folder below the reproduction's, unique to it."""
        experiment = "" if self.experiment == "main" else f"{self.experiment}-"
        words = f"{self.preset}-{experiment}{self.name}-{self.settings.seed}"
        return "".join(c if c.isalnum() or c in "-." else "_" for c in words)


@dataclass(frozen=True)
class Request:
    """What is to be reproduced.

    Attributes:
        presets: whose settings.
        seeds: trainings per system and scenario.
        quick: short trainings.
        advice: settings of the language model, as ``--set`` takes them.
        parallel: trainings at a time; 0 is one per processor.
    """

    presets: tuple[Preset, ...]
    seeds: int
    quick: bool
    advice: tuple[str, ...]
    parallel: int


@dataclass(frozen=True)
class Scale:
    """How long trainings last.

    Attributes:
        passes: over the training flows, of the paper's main experiment.
        most: flows that no training goes beyond; ``None`` sets no limit.
        figure_3: flows of Fig. 3's trainings.
        supervised: epochs of DL.
        least: flows of a main training in kirl settings at the least: an update takes 65,536,
            and five passes over a small scenario would be a handful of updates.
    """

    passes: float = paper.PASSES
    most: int | None = None
    figure_3: int = paper.FIGURE_3_EPISODES
    supervised: int = paper.SUPERVISED_EPOCHS
    least: int = 4_000_000

    def flows(self, training_flows: int, preset: Preset) -> int:
        """Flows of a main training; with kirl settings, small scenarios get more passes."""
        wanted = max(round(self.passes * training_flows), self.least if preset == "kirl" else 1)
        return min(wanted, self.most) if self.most else wanted


FULL = Scale()
QUICK = Scale(most=600_000, figure_3=200_000, supervised=5, least=600_000)


def fitting(assignments: Sequence[str], algo: str) -> list[str]:
    """Those assignments whose setting an algorithm has."""
    known = config.known(algorithms.find(algo))
    return [one for one in assignments if one.partition("=")[0] in known]


def plan(
    presets: Sequence[Preset],
    *,
    seeds: int,
    training_flows: int,
    scale: Scale = FULL,
    advisor: Sequence[str] = ("advice.advisor=embedded", "advice.wait=true"),
    others: Sequence[str] = (),
) -> list[Trial]:
    """All trials, in the order in which their results are most wanted.

    Args:
        presets: whose settings to run.
        seeds: trainings per system, with seeds 0, 1 and so on.
        training_flows: in the scenario.
        scale: how long trainings last.
        advisor: settings of the language model.
        others: systems beyond the paper's, run in kirl settings.
    """
    trials: list[Trial] = []
    for seed in range(seeds):
        make = _Maker(seed, training_flows, scale, tuple(advisor))
        for preset in presets:
            trials += [make.trial(preset, "main", system, system) for system in SYSTEMS]
            trials += make.figure_3(preset)
        if "kirl" in presets:
            trials += [make.other(name) for name in others]
        for preset in presets:
            trials += [
                make.trial(preset, "ablation", name, "ppo-kg", changes)
                for name, changes in CHANGES[preset]
            ]
    return trials


@dataclass(frozen=True)
class _Maker:
    seed: int
    training_flows: int
    scale: Scale
    advisor: tuple[str, ...]

    def trial(
        self,
        preset: Preset,
        experiment: Experiment,
        name: str,
        algo: str,
        changes: Sequence[str] = (),
        flows: int | None = None,
    ) -> Trial:
        assignments = fitting(PAPER_SETTINGS, algo) if preset == "paper" else []
        # Another advisor has no use for this one's options.
        if not any(each.startswith("advice.advisor=") for each in changes):
            assignments += fitting(self.advisor, algo)
        length = flows or self._flows(algo, preset)
        if algorithms.find(algo).advisor_acts == "first":
            # A short training leaves cloning no more than its first half.
            assignments.append(f"cloning.flows={min(262_144, length // 2)}")
        options: dict[str, Any] = {
            "algo": algo,
            "seed": self.seed,
            "flows": length,
        }
        return Trial(preset, experiment, name, config.load(None, [*assignments, *changes], options))

    def _flows(self, algo: str, preset: Preset) -> int:
        if algo == "dl":
            return self.scale.supervised * self.training_flows
        return self.scale.flows(self.training_flows, preset)

    def other(self, name: str) -> Trial:
        """A system beyond the paper's, in kirl settings."""
        algo, changes = _VARIANTS.get(name, (name, ()))
        return self.trial("kirl", "others", name, algo, changes)

    def figure_3(self, preset: Preset) -> list[Trial]:
        """PPO, and PPO-KG with two constant values of lambda (section IV-B)."""
        length = self.scale.figure_3
        weighted = [
            self.trial(
                preset,
                "figure 3",
                f"lambda {weight}",
                "ppo-kg",
                ("kl.schedule=constant", f"kl.start={weight}"),
                length,
            )
            for weight in ("1.0", "0.1")
        ]
        return [self.trial(preset, "figure 3", "ppo", "ppo", (), length), *weighted]
