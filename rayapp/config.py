"""Settings of a training run: defaults, then a YAML file, then ``--set``, then options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from envs import BetaPrior, Catalogue, InputError
from envs.drift import Drift
from envs.scenario import Matching
from kg_actor import Lesson, lesson_files
from llm_actor import registry
from llm_actor.placement import Need
from llm_actor.registry import DType, Mode
from llm_actor.selection import AdvisorSpec
from rayapp import algorithms, settings_input
from rayapp.algorithms import Algorithm
from rayapp.learning import Flows, GradientLearning, Learning, Settings
from rayapp.rl.reference import Reference
from rayapp.rl.schedules import Schedule, ScheduleKind


def _possible(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("no path holds a NUL character")
    return path


_Positive = Annotated[int, Field(ge=1, strict=True)]
_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Lambda = Annotated[float, Field(ge=0, le=1_000)]
_PriorFlows = Annotated[float, Field(gt=0, le=1e9)]
_FilePath = Annotated[Path, AfterValidator(_possible)]

_DEFAULT = "ppo-kg"

_CLONING_BATCH = 16_384
"""Flows that a gradient step of cloning stands for."""


class NetworkSettings(Settings):
    """The policy network and the value network."""

    encoder: Literal["embedding", "raw"] = "embedding"
    """Learn a vector for each signature (``embedding``), or feed the state as the numbers that it
    is, as the paper does (``raw``)."""

    embedding_dim: Annotated[int, Field(ge=1, le=1_024, strict=True)] = 16
    """Learn vectors of this length."""

    hidden: tuple[Annotated[int, Field(ge=1, le=8_192, strict=True)], ...] = Field(
        default=(64, 64), max_length=16
    )
    """Use hidden layers of these widths."""


class KLSettings(Settings):
    """The term lambda * KL that holds the policy to the reference policy (eq. 6)."""

    direction: Literal["policy_to_reference", "reference_to_policy"] = "reference_to_policy"
    """Take KL(policy to reference), which is eq. 5, or KL(reference to policy)."""

    schedule: ScheduleKind = "linear"
    """Move lambda from ``start`` to ``end`` in this way: ``constant``, ``linear``, ``cosine``,
    ``exponential``, ``piecewise`` or ``adaptive``."""

    start: _Lambda = 1.0
    """Begin with this lambda."""

    end: _Lambda = 0.0
    """Arrive at this lambda after ``length`` flows."""

    length: Flows | None = None
    """Move lambda over this many flows; ``None`` takes the whole training."""

    points: tuple[tuple[int, float], ...] = ()
    """Draw a ``piecewise`` schedule through these pairs of flows and lambda."""

    target: Annotated[float, Field(gt=0, le=1_000)] | None = None
    """Let an ``adaptive`` lambda hold the KL at this many nats."""

    reference: Literal["soft", "hard"] = "hard"
    """Take the advisor's probabilities (``soft``) or its one action (``hard``) as reference."""

    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Divide the logits of a ``soft`` reference by this; values below 1 sharpen it."""

    smoothing: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Spread this much of a ``hard`` reference's probability over all actions."""

    @model_validator(mode="after")
    def _check(self) -> KLSettings:
        self.schedule_of_lambda()
        return self

    def schedule_of_lambda(self) -> Schedule:
        """The schedule as the learner takes it; raises :class:`ValueError`."""
        return Schedule(self.schedule, self.start, self.end, self.length, self.points, self.target)

    def reference_of_advice(self) -> Reference:
        """How advice becomes the reference policy."""
        return Reference(self.reference, self.temperature, self.smoothing)


class CloningSettings(Settings):
    """Cloning of the advisor's policy before reinforcement learning (section IV-C)."""

    flows: Flows = 262_144
    """Let the advisor act on this many flows first. They fill the graph, and give the states to
    clone its policy in."""

    epochs: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 10
    """Pass over these flows this many times."""

    @property
    def steps(self) -> int:
        """Gradient steps in all; each goes over the expectation of a batch."""
        return self.epochs * -(-self.flows // _CLONING_BATCH)


class AdviceSettings(Settings):
    """Which advisor turns the graph's records into advice, and how.

    An option is ``None`` where it was not given, and then has the advisor's own default. One
    that the advisor has no use for is refused (``kirl advisor list`` shows who takes which).
    """

    advisor: str = "graph-reader"
    """Name of the advisor: ``graph-reader`` weighs actions by the rewards on record, ``embedded``
    is the language model that ships with kirl, ``transformers`` any causal one (the paper's
    Phi-3.5 by default), ``endpoint`` one behind an OpenAI-compatible server. Installed packages
    may add others."""

    wait: bool = False
    """Whether training waits for a language model's answers. If it does, the same seed gives
    the same policy; if not, it goes on with the last advice meanwhile. The graph reader is
    always waited for."""

    max_age: _Positive = 16
    """Most versions of the graph that advice may lag behind when training does not wait."""

    temperature: _Rate | None = None
    """Temperature of the graph reader's softmax, in reward units; ``None`` is 0.25."""

    model: str | None = None
    """Hub id or folder of the model, or the endpoint's name for its model."""

    revision: str | None = None
    """Branch, tag or commit of a hub model; a commit pins it. ``None`` is its main branch."""

    dtype: DType | None = None
    """Number format of the weights; ``None`` is bfloat16 on a GPU and float32 elsewhere."""

    mode: Mode | None = None
    """How the model is asked: ``score`` weighs every candidate action, ``generate`` lets it
    write an answer as in the paper. ``None`` is score."""

    template: _FilePath | None = None
    """File of the prompt template; ``None`` is the one that ships with kirl."""

    token_budget: _Positive | None = None
    """Most tokens of a model's batch, padding included. ``None`` is 16,384 on a GPU and 1,024 on
    a CPU. It is halved where the memory does not suffice."""

    gpus: Literal["auto"] | Annotated[float, Field(ge=0, allow_inf_nan=False)] = "auto"
    """GPUs of each of the model's actors. ``auto`` takes one where one is free, a number is
    waited for, or refused where the cluster has not as many, and 0 runs on CPU."""

    resource: str | None = None
    """Name of a custom resource of Ray's; the model runs on nodes that have it.
    accelerator_type:H100 is Ray's own name for nodes with such a GPU."""

    replicas: _Positive = 1
    """Actors that share the prompts, each with the whole model."""

    url: str | None = None
    """Base URL of the endpoint, such as http://localhost:8000/v1."""

    api_key_env: str | None = None
    """Name of the environment variable that holds the endpoint's key."""

    timeout_seconds: _Rate | None = None
    """Time limit of one request to the endpoint; ``None`` is 60."""

    retries: Annotated[int, Field(ge=0, strict=True)] | None = None
    """How often a failed request to the endpoint is made again; ``None`` is 3."""

    concurrency: _Positive | None = None
    """Requests to the endpoint at a time; ``None`` is 8."""

    def spec(self) -> AdvisorSpec:
        """The advisor that these settings describe.

        Raises:
            InputError: there is no such advisor, it has no use for an option that was given, or
                it lacks one that it needs.
        """
        known = {field.name for field in dataclasses.fields(AdvisorSpec)}
        options = self.model_dump(include=known)
        kind = registry.kind(self.advisor)
        usual = AdviceSettings()
        for name in ("gpus", "resource", "replicas"):
            if not kind.holds_model and getattr(self, name) != getattr(usual, name):
                raise InputError(
                    f"{self.advisor} has no use for {name}: it has no model of its own",
                    where="advisor",
                    mend=f"Leave advice.{name} out",
                )
        on_cpu = self.gpus == 0 and "device" in kind.uses
        return AdvisorSpec(self.advisor, device="cpu" if on_cpu else None, **options)

    def need(self) -> Need:
        """Where its actors run; raises :class:`InputError`."""
        return Need(self.gpus, self.resource, self.replicas)


class GraphSettings(Settings):
    """The knowledge graph: where it is, what it is taught, and whether it forgets."""

    shared: _FilePath | None = None
    """Share the graph in this folder with other runs; ``None`` gives the run its own."""

    lessons: tuple[_FilePath, ...] = ()
    """Teach the graph these files of prior experience first (see ``kirl graph import --help``)."""

    half_life: Annotated[float, Field(gt=0, le=1e15)] | None = None
    """Let a flow count half in confidence and rewards after this many flows; ``None`` never
    forgets. A graph that forgets depends on the order of its merges."""

    resource: str | None = None
    """Name of a custom resource of Ray's; the graph's actors run on nodes that have it, which
    must see the run's folder under the same path. ``None`` keeps them on the node of the
    command, or of the job's driver."""

    def read_lessons(self, catalogue: Catalogue) -> tuple[Lesson, ...]:
        """All files' lessons; raises :class:`InputError` for one that cannot be used."""
        return tuple(
            lesson for path in self.lessons for lesson in lesson_files.read_lessons(path, catalogue)
        )


class DriftSettings(Settings):
    """A change of traffic in the middle of training (:class:`envs.drift.Drift`)."""

    at: Flows | None = None
    """Change the traffic after this many flows; ``None`` never changes it."""

    becomes: str | None = None
    """Give the changed flows this true class."""

    traffic: str | None = None
    """Change the flows of this true class."""

    signature: Annotated[int, Field(ge=0, strict=True)] | None = None
    """Change the flows that match the signature of this number."""

    @model_validator(mode="after")
    def _check(self) -> DriftSettings:
        self.drift()
        return self

    def drift(self) -> Drift | None:
        """The drift, if there is one; raises :class:`ValueError`."""
        if self.at is None:
            return None
        if self.becomes is None:
            raise ValueError("a drift needs the class that flows become")
        return Drift(self.at, self.becomes, self.traffic, self.signature)


class OnlineSettings(Settings):
    """A stream whose feedback is late, and whose traffic may change."""

    delay: Annotated[int, Field(ge=0, le=2**40, strict=True)] = 0
    """Decide this many flows before the feedback on a flow comes."""

    drift: DriftSettings = DriftSettings()
    """Change the traffic in the middle of training."""


class PriorSettings(Settings):
    """The Beta prior of a signature's confidence (eq. 1); 1 and 1 is uniform."""

    alpha: _PriorFlows = 1.0
    """Let the prior count for this many correct detections."""

    beta: _PriorFlows = 1.0
    """Let the prior count for this many wrong detections."""


class TrackingSettings(Settings):
    """Services that get a run's curves, besides the files in the run's own folder."""

    mlflow: str | None = None
    """Send curves to the MLflow server at this address, or write them to ``sqlite:///FILE``."""

    wandb: str | None = None
    """Send curves to this project at Weights & Biases."""


class TrainingSettings(Settings):
    """Everything that decides a training run, besides its scenario."""

    algo: str = _DEFAULT
    """Train this algorithm; ``kirl settings`` lists all of them."""

    flows: Flows | None = None
    """Train on this many flows; set either this or ``passes``."""

    passes: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Pass this many times over the training flows; ``None`` takes the algorithm's own number (5,
    as in the paper; 100 for ``dl``)."""

    matching: Matching = "cross-fitted"
    """Match training flows as the detector does, which hardly errs on those that it was fitted to
    (``fitted``), or in turn so and honestly (``cross-fitted``; see ``kirl prepare
    --cross-fit``)."""

    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)] = 0
    """Draw flow order, exploration and the networks' first weights from this seed."""

    runners: Annotated[int, Field(ge=0, le=4096, strict=True)] = 0
    """Step flows in this many processes; 0 steps them in the driver. It changes speed only."""

    checkpoint_seconds: Annotated[float, Field(gt=0, le=1e6)] = 30.0
    """Write a checkpoint when this many seconds have passed since the last one."""

    # Checked by the model of the chosen algorithm, whose defaults are the defaults.
    learning: SerializeAsAny[Learning] = Field(default_factory=Learning, validate_default=True)
    network: NetworkSettings = NetworkSettings()
    kl: KLSettings = KLSettings()
    cloning: CloningSettings = CloningSettings()
    advice: AdviceSettings = AdviceSettings()
    prior: PriorSettings = PriorSettings()
    online: OnlineSettings = OnlineSettings()
    graph: GraphSettings = GraphSettings()
    tracking: TrackingSettings = TrackingSettings()

    @field_validator("algo")
    @classmethod
    def _known(cls, name: str) -> str:
        return algorithms.find(name).name

    @field_validator("learning", mode="plain")
    @classmethod
    def _of_the_algorithm(cls, given: object, info: ValidationInfo) -> Learning:
        name = info.data.get("algo")
        if name is None:
            # The algorithm's own name is refused already.
            return Learning()
        model = algorithms.find(name).learning
        if isinstance(given, Learning) and not isinstance(given, model):
            given = given.model_dump(exclude_unset=True)
        return model.model_validate(given)

    @model_validator(mode="after")
    def _check(self) -> TrainingSettings:
        for group in type(self).model_fields:
            if group in CHOSEN_GROUPS - self.algorithm.uses:
                _check_untouched(self.algo, group, getattr(self, group))
        if self.algorithm.advisor_acts == "first" and self.online.delay >= self.cloning.flows:
            raise ValueError(
                "online.delay must be below cloning.flows: nothing is known yet when cloning begins"
            )
        return self

    @property
    def algorithm(self) -> Algorithm:
        """The chosen algorithm."""
        return algorithms.find(self.algo)

    def total_flows(self, training_flows: int) -> int:
        """Flows to train on, given the size of the training set."""
        if self.flows is not None:
            return self.flows
        passes = self.algorithm.passes if self.passes is None else self.passes
        return max(1, round(passes * training_flows))


OPINION_CLASS_BALANCE = 0.25
"""``learning.class_balance`` where a scenario has a second opinion and nobody says otherwise.

Chosen on held-out training flows of the CICIDS2017 sample: contexts tell rare classes apart, so
less weight on them earns more on all flows, and no less on the rare ones."""


def for_scenario(settings: TrainingSettings, *, has_opinion: bool) -> TrainingSettings:
    """Settings with the defaults that depend on whether the scenario has a second opinion."""
    learning = settings.learning
    if not has_opinion or not isinstance(learning, GradientLearning):
        return settings
    if "class_balance" in learning.model_fields_set:
        return settings
    balanced = learning.model_copy(update={"class_balance": OPINION_CLASS_BALANCE})
    return settings.model_copy(update={"learning": balanced})


CHOSEN_GROUPS = frozenset({"network", "kl", "cloning", "advice", "prior", "online", "graph"})
"""Groups that not every algorithm has a use for."""


def _check_untouched(algo: str, group: str, given: Settings) -> None:
    values, usual = (flat(one.model_dump(mode="json")) for one in (given, type(given)()))
    for name, value in values.items():
        if value != usual[name]:
            raise InputError(
                f"{group}.{name} is {value!r}, and {algo} has no use for it",
                expected=f"settings that {algo} has",
                mend=f"Leave it out; kirl settings --algo {algo} shows what it has",
            )


def load(
    file: Path | None, assignments: Sequence[str], options: Mapping[str, object]
) -> TrainingSettings:
    """Merges a YAML file, ``key=value`` assignments and given options over the defaults.

    Args:
        file: YAML with the fields of :class:`TrainingSettings`, nested.
        assignments: ``learning.epochs=4``; values are read as YAML.
        options: top-level fields; those that are ``None`` were not given.

    Raises:
        InputError: unreadable file, unknown key or a value that does not fit.
    """
    data = settings_input.merged(file, assignments, options)
    return parse(data, str(file) if file else "settings")


def parse(data: Mapping[str, Any], where: str) -> TrainingSettings:
    """Validates nested settings; raises :class:`InputError` naming the first bad one."""
    algorithm = algorithms.find(str(data.get("algo", _DEFAULT)))
    try:
        return TrainingSettings.model_validate(data)
    except ValidationError as error:
        raise settings_input.refusal(error, where, algorithm.name, models_of(algorithm)) from error


def models_of(algorithm: Algorithm) -> dict[str, type[Settings]]:
    """Every group's model by its name; "" has the settings outside of groups."""
    models: dict[str, type[Settings]] = {"": TrainingSettings, "learning": algorithm.learning}
    for name, field in TrainingSettings.model_fields.items():
        models |= _models_in(name, field.default)
    return models


def known(algorithm: Algorithm) -> set[str]:
    """Every setting that an algorithm has, by the name that ``--set`` takes."""
    groups = CHOSEN_GROUPS - algorithm.uses
    settings = TrainingSettings(algo=algorithm.name).model_dump(exclude=set(groups))
    return set(flat(settings))


def _models_in(name: str, default: object) -> dict[str, type[Settings]]:
    if not isinstance(default, Settings):
        return {}
    models = {name: type(default)}
    for inner, field in type(default).model_fields.items():
        models |= _models_in(f"{name}.{inner}", field.default)
    return models


def beta_prior(settings: PriorSettings) -> BetaPrior:
    """The prior as the rooms below take it."""
    return BetaPrior(settings.alpha, settings.beta)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under the names that ``--set`` takes."""
    named: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            named |= flat(value, f"{prefix}{name}.")
        else:
            named[prefix + name] = value
    return named
