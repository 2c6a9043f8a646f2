"""Settings of a training run: defaults, then a YAML file, then ``--set``, then options."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from envs import BetaPrior, Catalogue, InputError
from envs.drift import Drift
from envs.scenario import Matching
from kg_actor import Lesson, lesson_files
from llm_actor.batching import Limits
from llm_actor.placement import Need
from llm_actor.selection import AdvisorSpec, Kind
from rayapp.rl.reference import Reference
from rayapp.rl.schedules import Schedule, ScheduleKind

Algo = Literal[
    "ppo",
    "ppo-kg",
    "ppo-kg-pt",
    "llm-kg",
    "dl",
    "dqn",
    "dqn-kg",
    "appo",
    "appo-kg",
    "linucb",
    "thompson",
    "vw",
]
"""The paper's five systems (section IV-A), what it leaves to future work, and three bandits."""

INFUSED: frozenset[str] = frozenset({"ppo-kg", "ppo-kg-pt", "llm-kg", "dqn-kg", "appo-kg"})
"""Those that ask for advice."""

BANDITS: frozenset[str] = frozenset({"linucb", "thompson", "vw"})
"""Those that learn without a network."""

WITHOUT_RAY: frozenset[str] = BANDITS | {"dl"}
"""Those that train in one process, and keep no graph."""


def _possible(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("no path holds a NUL character")
    return path


_Positive = Annotated[int, Field(ge=1, strict=True)]
_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_FilePath = Annotated[Path, AfterValidator(_possible)]

# What the advisors' own room has by default is the default here.
_ADVISOR = AdvisorSpec()
_NEED = Need()
_LIMITS = Limits()


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSettings(_Settings):
    """Policy and value networks.

    Attributes:
        encoder: ``embedding``, or ``raw`` as in the paper.
        embedding_dim: length of a signature's learnt vector.
        hidden: widths of the hidden layers.
    """

    encoder: Literal["embedding", "raw"] = "embedding"
    embedding_dim: _Positive = 16
    hidden: tuple[_Positive, ...] = (64, 64)


class PPOSettings(_Settings):
    """PPO itself (Schulman et al. 2017).

    Attributes:
        flows_per_iteration: environment steps between two updates.
        epochs: passes over an iteration's rows.
        minibatch_rows: distinct transitions per gradient step; ``None`` takes all of them.
        learning_rate: of Adam.
        clip: PPO's epsilon.
        value_coefficient: weight of the value loss.
        value_clip: largest squared value error that counts; rewards go from -5 to 5.
        entropy_coefficient: weight of the entropy bonus.
        gradient_clip: largest global norm of the gradient; ``None`` does not clip.
        class_balance: what a flow counts in the loss: (flows of the most frequent true class /
            flows of its own) to this power. 0 counts all flows alike, 1 all classes.
        class_weight_limit: what a flow counts at the most, in flows of the most frequent class.
    """

    flows_per_iteration: _Positive = 65_536
    epochs: _Positive = 8
    minibatch_rows: _Positive | None = None
    learning_rate: _Rate = 3e-3
    clip: _Rate = 0.3
    value_coefficient: _Share = 1.0
    value_clip: _Rate = 100.0
    entropy_coefficient: _Share = 0.0
    gradient_clip: _Rate | None = None
    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.7
    class_weight_limit: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 20.0


class DQNSettings(_Settings):
    """DQN (Mnih et al. 2015) where every flow is an episode; dqn and dqn-kg alone.

    Attributes:
        flows_per_iteration: environment steps between two updates.
        replay_tables: iterations whose interactions are learnt from, the latest included.
        temperature: of the policy softmax(Q / temperature), in reward units. It explores, and
            the KL term holds it to the reference policy.
        epochs: passes over the remembered rows per iteration.
        minibatch_rows: distinct transitions per gradient step; ``None`` takes all of them.
        learning_rate: of Adam.
        loss: of the difference between Q-value and reward, ``huber`` or ``mse``.
        gradient_clip: largest global norm of the gradient; ``None`` does not clip.
        class_balance, class_weight_limit: as of ``ppo``.
    """

    flows_per_iteration: _Positive = 65_536
    replay_tables: _Positive = 64
    temperature: _Rate = 0.25
    epochs: _Positive = 8
    minibatch_rows: _Positive | None = None
    learning_rate: _Rate = 3e-3
    loss: Literal["huber", "mse"] = "huber"
    gradient_clip: _Rate | None = None
    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.4
    class_weight_limit: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 20.0


class APPOSettings(_Settings):
    """APPO (Luo et al. 2020) where every flow is an episode; appo and appo-kg alone.

    Attributes:
        flows_per_iteration: environment steps between two updates.
        lag: updates that the weights which sample are behind those that learn.
        target_iterations: iterations between two updates of the target network.
        epochs: passes over an iteration's rows.
        minibatch_rows: distinct transitions per gradient step; ``None`` takes all of them.
        learning_rate: of Adam.
        clip: of the surrogate.
        value_coefficient: weight of the value loss.
        entropy_coefficient: weight of the entropy bonus.
        gradient_clip: largest global norm of the gradient; ``None`` does not clip.
        class_balance, class_weight_limit: as of ``ppo``.
    """

    flows_per_iteration: _Positive = 65_536
    lag: Annotated[int, Field(ge=0, strict=True)] = 1
    target_iterations: _Positive = 1
    epochs: _Positive = 8
    minibatch_rows: _Positive | None = None
    learning_rate: _Rate = 3e-3
    clip: _Rate = 0.4
    value_coefficient: _Share = 1.0
    entropy_coefficient: _Share = 0.0
    gradient_clip: _Rate | None = None
    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.7
    class_weight_limit: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 20.0


class KLSettings(_Settings):
    """lambda * KL between policy and reference policy (eq. 6); used where advice is.

    Attributes:
        direction: ``policy_to_reference`` is eq. 5, ``reference_to_policy`` its reverse.
        schedule: how lambda goes from ``start`` to ``end``: ``constant``, ``linear``,
            ``cosine``, ``exponential``, ``piecewise`` or ``adaptive``.
        start: lambda at the first flow.
        end: lambda after ``length`` flows.
        length: environment steps; ``None`` is the whole training.
        points: of ``piecewise``: pairs of environment step and lambda.
        target: of ``adaptive``: the KL that lambda is to hold, in nats.
        reference: ``soft`` is the advisor's probabilities, ``hard`` its one action.
        temperature: of ``soft``; below 1 sharpens.
        smoothing: of ``hard``: probability spread over all actions.
    """

    direction: Literal["policy_to_reference", "reference_to_policy"] = "reference_to_policy"
    schedule: ScheduleKind = "linear"
    start: _Share = 1.0
    end: _Share = 0.0
    length: _Positive | None = None
    points: tuple[tuple[int, float], ...] = ()
    target: _Rate | None = None
    reference: Literal["soft", "hard"] = "hard"
    temperature: _Rate = 1.0
    smoothing: Annotated[float, Field(gt=0, lt=1)] = 0.01

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


class CloningSettings(_Settings):
    """Behaviour cloning before reinforcement learning (section IV-C); ppo-kg-pt alone.

    Attributes:
        flows: flows at the beginning, out of all, that the advisor acts on alone. They fill the
            graph, and give the situations to clone its policy in.
        epochs: passes over them.
        batch_flows: flows per gradient step; the steps go over expected batches, without the
            noise of drawing them.
    """

    flows: _Positive = 262_144
    epochs: _Positive = 10
    batch_flows: _Positive = 16_384

    @property
    def steps(self) -> int:
        """Gradient steps in all."""
        return self.epochs * -(-self.flows // self.batch_flows)


class SupervisedSettings(_Settings):
    """The paper's DL: the policy network, trained on the best action of the true class.

    Attributes:
        epochs: passes over the training flows (the paper's are 100).
        batch_flows: flows per gradient step; the steps go over expected batches, without the
            noise of drawing them.
        learning_rate: of Adam.
    """

    epochs: _Positive = 100
    batch_flows: _Positive = 4_096
    learning_rate: _Rate = 3e-3


class BanditSettings(_Settings):
    """LinUCB, Thompson sampling and Vowpal Wabbit; an iteration has PPO's number of flows.

    Attributes:
        flows_per_update: flows decided before their rewards are learnt.
        ridge: of LinUCB's and Thompson's regressions: flows that their prior counts for.
        alpha: of LinUCB: width of the confidence bound in reward units.
        noise: of Thompson: standard deviation of a reward that its posterior assumes.
        posterior: of Thompson: ``reward`` learns what each action earns; ``class`` knows the
            reward of every action for every class (eq. 3) and learns the signatures' classes.
        vw_learning_rate: of Vowpal Wabbit.
        vw_epsilon: of Vowpal Wabbit: share of flows whose action is drawn from all evenly.
    """

    flows_per_update: _Positive = 4_096
    ridge: _Rate = 1.0
    alpha: _Share = 5.0
    noise: _Rate = 5.0
    posterior: Literal["reward", "class"] = "reward"
    vw_learning_rate: _Rate = 0.5
    vw_epsilon: Annotated[float, Field(gt=0, le=1)] = 0.05


class AdviceSettings(_Settings):
    """Who reads the graph, and how.

    Attributes:
        advisor: ``graph-reader`` weighs actions by the rewards on record, ``embedded`` is the
            language model that ships with kirl, ``transformers`` any causal one (the paper's
            Phi-3.5 by default), ``endpoint`` one behind an OpenAI-compatible server.
        wait: whether training waits for a language model's answers. If it does, the same seed
            gives the same policy; if not, it goes on with the last advice meanwhile. The
            graph reader is always waited for.
        max_age: without ``wait``, versions of the graph that advice may lag behind.
        temperature: of the graph reader's softmax, in reward units.
        model: hub id or folder, or the endpoint's name for its model.
        revision: branch, tag or commit of a hub model.
        device: ``auto``, or PyTorch's name of one.
        dtype: of the weights; ``auto`` is bfloat16 on a GPU, float32 elsewhere.
        attention: implementation of the attention.
        offline: never ask the hub.
        mode: ``score`` weighs every candidate, ``generate`` lets the model write an answer.
        template: file of the prompt template.
        token_budget: most tokens of a model's batch, padding included; ``None`` suits the device.
            It is halved where the memory does not suffice.
        gpus: that an actor asks for; ``auto`` is one where one is free, a number is waited for,
            and 0 runs on CPU.
        require_gpu: refuse to run a language model without one.
        accelerator: Ray's name of the GPU's type, such as ``H100``; without such a GPU a
            language model runs on CPU, or is refused (``require_gpu``).
        resource: name of a custom resource of Ray's; language models run on nodes that have it.
        replicas: actors that share the prompts, one per GPU.
        max_prompts: most prompts of an actor's batch.
        max_batch_tokens: most tokens of them, estimated; ``None`` does not look.
        max_wait_seconds: that a prompt waits for company, at most.
        cache_size: answers that the training and each actor keep.
        url: of the endpoint.
        api_key_env: environment variable that holds the endpoint's key.
        timeout_seconds: for one request to the endpoint.
        retries: of a request that may do better later.
        concurrency: requests at a time.
        circuit_failures: prompts given up in a row after which the endpoint is left alone.
        circuit_cooldown: seconds until it is tried again.
    """

    advisor: Kind = "graph-reader"
    wait: bool = False
    max_age: _Positive = 16
    temperature: _Rate = _ADVISOR.temperature
    model: str | None = _ADVISOR.model
    revision: str | None = _ADVISOR.revision
    device: str = _ADVISOR.device
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = _ADVISOR.dtype
    attention: Literal["sdpa", "eager"] = _ADVISOR.attention
    offline: bool = _ADVISOR.offline
    mode: Literal["score", "generate"] = _ADVISOR.mode
    template: _FilePath | None = _ADVISOR.template
    token_budget: _Positive | None = _ADVISOR.token_budget
    gpus: Literal["auto"] | Annotated[float, Field(ge=0, allow_inf_nan=False)] = _NEED.gpus
    require_gpu: bool = _NEED.require_gpu
    accelerator: str | None = _NEED.accelerator
    resource: str | None = _NEED.resource
    replicas: _Positive = _NEED.replicas
    max_prompts: _Positive = _LIMITS.max_prompts
    max_batch_tokens: _Positive | None = _LIMITS.max_batch_tokens
    max_wait_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _LIMITS.max_wait_seconds
    cache_size: Annotated[int, Field(ge=0, strict=True)] = _LIMITS.cache_size
    url: str | None = _ADVISOR.url
    api_key_env: str | None = _ADVISOR.api_key_env
    timeout_seconds: _Rate = _ADVISOR.timeout_seconds
    retries: Annotated[int, Field(ge=0, strict=True)] = _ADVISOR.retries
    concurrency: _Positive = _ADVISOR.concurrency
    circuit_failures: _Positive = _ADVISOR.circuit_failures
    circuit_cooldown: _Rate = _ADVISOR.circuit_cooldown

    def spec(self) -> AdvisorSpec:
        """The advisor as its own room describes it; raises :class:`InputError`."""
        known = {field.name for field in dataclasses.fields(AdvisorSpec)}
        given = self.model_dump(include=known)
        return AdvisorSpec(kind=self.advisor, **given)

    def need(self) -> Need:
        """Where its actors run; raises :class:`InputError`."""
        known = {field.name for field in dataclasses.fields(Need)}
        return Need(**self.model_dump(include=known))

    def limits(self) -> Limits:
        """How its actors make batches, and how many answers are kept."""
        known = {field.name for field in dataclasses.fields(Limits)}
        return Limits(**self.model_dump(include=known))


class GraphSettings(_Settings):
    """Where the knowledge graph is, what it was taught, and whether it forgets.

    Attributes:
        shared: folder of a graph that several runs share; ``None`` gives the run its own.
        lessons: files of prior experience (``kirl graph import --help``), taught at the start.
        half_life: flows after which a flow counts half in confidence and rewards; ``None``
            never forgets, and a forgetting graph depends on the order of its merges.
        resource: name of a custom resource of Ray's; the graph's actors run on nodes that have
            it, which must see the run's folder under the same path. ``None`` keeps them on the
            node of the command, or of the job's driver.
        shards: actors that the graph is cut into by ranges of signatures, each with a store of
            its own. What is learnt stays the same. Neither ``shared`` nor ``half_life`` goes
            with more than one.
    """

    shared: _FilePath | None = None
    lessons: tuple[_FilePath, ...] = ()
    half_life: _Rate | None = None
    resource: str | None = None
    shards: Annotated[int, Field(ge=1, le=256, strict=True)] = 1

    @model_validator(mode="after")
    def _check(self) -> GraphSettings:
        if self.shards > 1 and self.shared is not None:
            raise ValueError(
                "a graph in shards is one run's own: runs that merge at the same time could do "
                "so in another order in each shard; leave graph.shards or graph.shared out"
            )
        if self.shards > 1 and self.half_life is not None:
            raise ValueError(
                "a graph in shards does not forget: how much fades is known from all flows of an "
                "iteration; leave graph.shards or graph.half_life out"
            )
        return self

    def read_lessons(self, catalogue: Catalogue) -> tuple[Lesson, ...]:
        """All files' lessons; raises :class:`InputError` for one that cannot be used."""
        return tuple(
            lesson for path in self.lessons for lesson in lesson_files.read_lessons(path, catalogue)
        )


class DriftSettings(_Settings):
    """A change of traffic in the middle of training (:class:`envs.drift.Drift`).

    Attributes:
        at: flows before it; ``None`` for no drift.
        becomes: true class of the changed flows.
        traffic: true class that changes, or
        signature: number of the signature that goes stale.
    """

    at: _Positive | None = None
    becomes: str | None = None
    traffic: str | None = None
    signature: Annotated[int, Field(ge=0, strict=True)] | None = None

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


class OnlineSettings(_Settings):
    """Learning from a stream whose feedback is late, and whose traffic may change.

    Attributes:
        delay: flows that are decided before a flow's feedback comes.
        drift: a change of traffic.
    """

    delay: Annotated[int, Field(ge=0, strict=True)] = 0
    drift: DriftSettings = DriftSettings()


class PriorSettings(_Settings):
    """Beta prior of a signature's confidence (eq. 1); 1, 1 is uniform."""

    alpha: _Rate = 1.0
    beta: _Rate = 1.0


class TrackingSettings(_Settings):
    """Who is told how a run goes, besides its own ``progress.jsonl``.

    Attributes:
        tensorboard: write event files into the run's folder ``tensorboard``.
        mlflow: address of a tracking server, or ``sqlite:///FILE``.
        wandb: project at Weights & Biases.
    """

    tensorboard: bool = True
    mlflow: str | None = None
    wandb: str | None = None


class TrainingSettings(_Settings):
    """All that decides a training run, besides its scenario.

    Attributes:
        algo: ``ppo``; ``ppo-kg`` with graph, advice and KL term; ``ppo-kg-pt``, which clones
            the advisor first; ``llm-kg``, the advisor alone; ``dl``, supervised learning;
            ``dqn`` and ``appo``, other learners, and ``dqn-kg`` and ``appo-kg``, the same with
            graph, advice and KL term;
            ``linucb``, ``thompson`` and ``vw`` (Vowpal Wabbit), contextual bandits.
        episodes: flows to train on; exclusive with ``passes``.
        passes: the same in passes over the training flows (default 5, the paper's; ``dl``:
            its epochs).
        matching: ``fitted`` meets the training flows as the detector matches them, and it
            hardly errs on those. ``cross-fitted`` meets them in turn so and as they are
            matched honestly (``kirl prepare --cross-fit``).
        seed: of flow order, exploration and network initialisation.
        runners: remote environment runners; 0 steps in the driver. It changes speed only.
        checkpoint_seconds: time between two checkpoints.
    """

    algo: Algo = "ppo-kg"
    episodes: _Positive | None = None
    passes: _Rate | None = None
    matching: Matching = "cross-fitted"
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)] = 0
    runners: Annotated[int, Field(ge=0, le=4096, strict=True)] = 0
    checkpoint_seconds: _Rate = 30.0
    network: NetworkSettings = NetworkSettings()
    ppo: PPOSettings = PPOSettings()
    dqn: DQNSettings = DQNSettings()
    appo: APPOSettings = APPOSettings()
    kl: KLSettings = KLSettings()
    cloning: CloningSettings = CloningSettings()
    supervised: SupervisedSettings = SupervisedSettings()
    bandit: BanditSettings = BanditSettings()
    advice: AdviceSettings = AdviceSettings()
    prior: PriorSettings = PriorSettings()
    online: OnlineSettings = OnlineSettings()
    graph: GraphSettings = GraphSettings()
    tracking: TrackingSettings = TrackingSettings()

    @model_validator(mode="after")
    def _check(self) -> TrainingSettings:
        streaming = self.online != OnlineSettings()
        if streaming and self.algo in WITHOUT_RAY:
            raise ValueError(f"late feedback and drift (online.*) are not for {self.algo}")
        if self.algo == "ppo-kg-pt" and self.online.delay >= self.cloning.flows:
            raise ValueError(
                "online.delay must be below cloning.flows: nothing is known yet when cloning begins"
            )
        return self

    @property
    def learning(self) -> PPOSettings | DQNSettings | APPOSettings:
        """The group of settings that the algorithm learns by."""
        groups: dict[str, PPOSettings | DQNSettings | APPOSettings] = {
            "ppo": self.ppo,
            "dqn": self.dqn,
            "appo": self.appo,
        }
        return groups[self.learning_group]

    @property
    def learning_group(self) -> Literal["ppo", "dqn", "appo"]:
        """Its name."""
        if self.algo in ("dqn", "dqn-kg"):
            return "dqn"
        return "appo" if self.algo in ("appo", "appo-kg") else "ppo"

    def total_episodes(self, training_flows: int) -> int:
        """Flows to train on, given the size of the training set."""
        if self.episodes is not None:
            return self.episodes
        usual = self.supervised.epochs if self.algo == "dl" else 5.0
        passes = usual if self.passes is None else self.passes
        return max(1, round(passes * training_flows))


def load(
    file: Path | None, assignments: Sequence[str], options: Mapping[str, object]
) -> TrainingSettings:
    """Merges a YAML file, ``key=value`` assignments and given options over the defaults.

    Args:
        file: YAML with the fields of :class:`TrainingSettings`, nested.
        assignments: ``ppo.epochs=4``; values are read as YAML.
        options: top-level fields; those that are ``None`` were not given.

    Raises:
        InputError: unreadable file, unknown key or a value that does not fit.
    """
    data = _read(file) if file else {}
    for assignment in assignments:
        _assign(data, assignment)
    given = {key: value for key, value in options.items() if value is not None}
    if "episodes" in given:
        data.pop("passes", None)
    if "passes" in given:
        data.pop("episodes", None)
    data.update(given)
    if data.get("episodes") is not None and data.get("passes") is not None:
        raise InputError(
            "both episodes and passes are set", expected="one of them", mend="Leave one out"
        )
    return parse(data, str(file) if file else "settings")


def parse(data: Mapping[str, Any], where: str) -> TrainingSettings:
    """Validates nested settings; raises :class:`InputError` naming the first bad field."""
    try:
        return TrainingSettings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        raise InputError(
            f"{place}: {first['msg']}" + _given(first)
            if place
            else first["msg"].removeprefix("Value error, "),
            where=where,
            expected=f"one of {_known_fields(first['loc'])}" if unknown else None,
            mend="kirl train --help shows all settings",
        ) from error


def _given(problem: Any) -> str:  # noqa: ANN401 (pydantic's error record)
    if problem["type"] == "extra_forbidden":
        return ""
    return f" (given: {reprlib.repr(problem.get('input'))})"


def _known_fields(place: tuple[int | str, ...]) -> str:
    model: Any = TrainingSettings
    for part in place[:-1]:
        model = model.model_fields[part].annotation
    return ", ".join(model.model_fields)


def _read(file: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(file), mend="Check --config") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"not readable as YAML ({' '.join(str(error).split())[:200]})",
            where=str(file),
            expected="a YAML file of settings",
        ) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InputError(
            f"holds a {type(data).__name__}", where=str(file), expected="settings, key: value"
        )
    return data


def _assign(data: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise InputError(
            f"--set {assignment!r} is not key=value",
            expected="key=value",
            mend="For example --set ppo.epochs=4",
        )
    *parents, last = key.strip().split(".")
    place = data
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise InputError(f"--set {assignment!r}: {parent} is not a group of settings")
    try:
        place[last] = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"--set {assignment!r}: the value is not readable", expected="a YAML value"
        ) from error


def describe() -> list[str]:
    """Every setting with its default, as ``--set`` takes it."""
    return _describe(TrainingSettings, "")


def _describe(model: type[BaseModel], prefix: str) -> list[str]:
    lines: list[str] = []
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            lines += _describe(type(default), f"{prefix}{name}.")
        else:
            shown = list(default) if isinstance(default, tuple) else default
            lines.append(f"{prefix}{name}={'null' if shown is None else shown}")
    return lines


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
