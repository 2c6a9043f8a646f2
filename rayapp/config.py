"""Settings of a training run: defaults, then a YAML file, then ``--set``, then options."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Iterator, Mapping, Sequence
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
    "linucb",
    "thompson",
]
"""The paper's five systems (section IV-A), what it leaves to future work, and two bandits."""

INFUSED: frozenset[str] = frozenset({"ppo-kg", "ppo-kg-pt", "llm-kg", "dqn-kg"})
"""Those that ask for advice."""

BANDITS: frozenset[str] = frozenset({"linucb", "thompson"})
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
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NetworkSettings(_Settings):
    """Policy and value networks."""

    encoder: Literal["embedding", "raw"] = "embedding"
    """``embedding``, or ``raw`` as in the paper."""

    embedding_dim: _Positive = 16
    """Length of a signature's learnt vector."""

    hidden: tuple[_Positive, ...] = (64, 64)
    """Widths of the hidden layers."""


class PPOSettings(_Settings):
    """PPO itself (Schulman et al. 2017)."""

    flows_per_iteration: _Positive = 65_536
    """Environment steps between two updates."""

    epochs: _Positive = 8
    """Passes over an iteration's rows."""

    minibatch_rows: _Positive | None = None
    """Distinct transitions per gradient step; ``None`` takes all of them."""

    learning_rate: _Rate = 3e-3
    """Of Adam."""

    clip: _Rate = 0.3
    """PPO's epsilon."""

    value_coefficient: _Share = 1.0
    """Weight of the value loss."""

    value_clip: _Rate = 100.0
    """Largest squared value error that counts; rewards go from -5 to 5."""

    entropy_coefficient: _Share = 0.0
    """Weight of the entropy bonus."""

    gradient_clip: _Rate | None = None
    """Largest global norm of the gradient; ``None`` does not clip."""

    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.7
    """What a flow counts in the loss: (flows of the most frequent true class / flows of its
    own) to this power. 0 counts all flows alike, 1 all classes."""

    class_weight_limit: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 20.0
    """What a flow counts at the most, in flows of the most frequent class."""


class DQNSettings(_Settings):
    """DQN (Mnih et al. 2015) where every flow is an episode; dqn and dqn-kg alone."""

    flows_per_iteration: _Positive = 65_536
    """Environment steps between two updates."""

    replay_tables: _Positive = 64
    """Iterations whose interactions are learnt from, the latest included."""

    temperature: _Rate = 0.25
    """Of the policy softmax(Q / temperature), in reward units. It explores, and the KL term
    holds it to the reference policy."""

    epochs: _Positive = 8
    """Passes over the remembered rows per iteration."""

    minibatch_rows: _Positive | None = None
    """Distinct transitions per gradient step; ``None`` takes all of them."""

    learning_rate: _Rate = 3e-3
    """Of Adam."""

    loss: Literal["huber", "mse"] = "huber"
    """Of the difference between Q-value and reward, ``huber`` or ``mse``."""

    gradient_clip: _Rate | None = None
    """Largest global norm of the gradient; ``None`` does not clip."""

    class_balance: Annotated[float, Field(ge=0, le=1)] = 0.4
    """As of ``ppo``."""

    class_weight_limit: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 20.0
    """As of ``ppo``."""


class KLSettings(_Settings):
    """lambda * KL between policy and reference policy (eq. 6); used where advice is."""

    direction: Literal["policy_to_reference", "reference_to_policy"] = "reference_to_policy"
    """``policy_to_reference`` is eq. 5, ``reference_to_policy`` its reverse."""

    schedule: ScheduleKind = "linear"
    """How lambda goes from ``start`` to ``end``: ``constant``, ``linear``, ``cosine``,
    ``exponential``, ``piecewise`` or ``adaptive``."""

    start: _Share = 1.0
    """Lambda at the first flow."""

    end: _Share = 0.0
    """Lambda after ``length`` flows."""

    length: _Positive | None = None
    """Environment steps; ``None`` is the whole training."""

    points: tuple[tuple[int, float], ...] = ()
    """Of ``piecewise``: pairs of environment step and lambda."""

    target: _Rate | None = None
    """Of ``adaptive``: the KL that lambda is to hold, in nats."""

    reference: Literal["soft", "hard"] = "hard"
    """``soft`` is the advisor's probabilities, ``hard`` its one action."""

    temperature: _Rate = 1.0
    """Of ``soft``; below 1 sharpens."""

    smoothing: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Of ``hard``: probability spread over all actions."""

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
    """Behaviour cloning before reinforcement learning (section IV-C); ppo-kg-pt alone."""

    flows: _Positive = 262_144
    """Flows at the beginning, out of all, that the advisor acts on alone. They fill the graph,
    and give the situations to clone its policy in."""

    epochs: _Positive = 10
    """Passes over them."""

    batch_flows: _Positive = 16_384
    """Flows per gradient step; the steps go over expected batches, without the noise of drawing
    them."""

    @property
    def steps(self) -> int:
        """Gradient steps in all."""
        return self.epochs * -(-self.flows // self.batch_flows)


class SupervisedSettings(_Settings):
    """The paper's DL: the policy network, trained on the best action of the true class."""

    epochs: _Positive = 100
    """Passes over the training flows (the paper's are 100)."""

    batch_flows: _Positive = 4_096
    """Flows per gradient step; the steps go over expected batches, without the noise of drawing
    them."""

    learning_rate: _Rate = 3e-3
    """Of Adam."""


class BanditSettings(_Settings):
    """LinUCB and Thompson sampling; an iteration has PPO's number of flows."""

    flows_per_update: _Positive = 4_096
    """Flows decided before their rewards are learnt."""

    ridge: _Rate = 1.0
    """Of LinUCB's and Thompson's regressions: flows that their prior counts for."""

    alpha: _Share = 5.0
    """Of LinUCB: width of the confidence bound in reward units."""

    noise: _Rate = 5.0
    """Of Thompson: standard deviation of a reward that its posterior assumes."""

    posterior: Literal["reward", "class"] = "reward"
    """Of Thompson: ``reward`` learns what each action earns; ``class`` knows the reward of
    every action for every class (eq. 3) and learns the signatures' classes."""


class AdviceSettings(_Settings):
    """Who reads the graph, and how."""

    advisor: Kind = "graph-reader"
    """``graph-reader`` weighs actions by the rewards on record, ``embedded`` is the language
    model that ships with kirl, ``transformers`` any causal one (the paper's Phi-3.5 by
    default), ``endpoint`` one behind an OpenAI-compatible server."""

    wait: bool = False
    """Whether training waits for a language model's answers. If it does, the same seed gives
    the same policy; if not, it goes on with the last advice meanwhile. The graph reader is
    always waited for."""

    max_age: _Positive = 16
    """Without ``wait``, versions of the graph that advice may lag behind."""

    temperature: _Rate = _ADVISOR.temperature
    """Of the graph reader's softmax, in reward units."""

    model: str | None = _ADVISOR.model
    """Hub id or folder, or the endpoint's name for its model."""

    revision: str | None = _ADVISOR.revision
    """Branch, tag or commit of a hub model."""

    device: str = _ADVISOR.device
    """``auto``, or PyTorch's name of one."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = _ADVISOR.dtype
    """Of the weights; ``auto`` is bfloat16 on a GPU, float32 elsewhere."""

    attention: Literal["sdpa", "eager"] = _ADVISOR.attention
    """Implementation of the attention."""

    offline: bool = _ADVISOR.offline
    """Never ask the hub."""

    mode: Literal["score", "generate"] = _ADVISOR.mode
    """``score`` weighs every candidate, ``generate`` lets the model write an answer."""

    template: _FilePath | None = _ADVISOR.template
    """File of the prompt template."""

    token_budget: _Positive | None = _ADVISOR.token_budget
    """Most tokens of a model's batch, padding included; ``None`` suits the device. It is halved
    where the memory does not suffice."""

    gpus: Literal["auto"] | Annotated[float, Field(ge=0, allow_inf_nan=False)] = _NEED.gpus
    """That an actor asks for; ``auto`` is one where one is free, a number is waited for, and 0
    runs on CPU."""

    require_gpu: bool = _NEED.require_gpu
    """Refuse to run a language model without one."""

    accelerator: str | None = _NEED.accelerator
    """Ray's name of the GPU's type, such as ``H100``; without such a GPU a language model runs
    on CPU, or is refused (``require_gpu``)."""

    resource: str | None = _NEED.resource
    """Name of a custom resource of Ray's; language models run on nodes that have it."""

    replicas: _Positive = _NEED.replicas
    """Actors that share the prompts, one per GPU."""

    max_prompts: _Positive = _LIMITS.max_prompts
    """Most prompts of an actor's batch."""

    max_batch_tokens: _Positive | None = _LIMITS.max_batch_tokens
    """Most tokens of them, estimated; ``None`` does not look."""

    max_wait_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _LIMITS.max_wait_seconds
    """That a prompt waits for company, at most."""

    cache_size: Annotated[int, Field(ge=0, strict=True)] = _LIMITS.cache_size
    """Answers that the training and each actor keep."""

    url: str | None = _ADVISOR.url
    """Of the endpoint."""

    api_key_env: str | None = _ADVISOR.api_key_env
    """Environment variable that holds the endpoint's key."""

    timeout_seconds: _Rate = _ADVISOR.timeout_seconds
    """For one request to the endpoint."""

    retries: Annotated[int, Field(ge=0, strict=True)] = _ADVISOR.retries
    """Of a request that may do better later."""

    concurrency: _Positive = _ADVISOR.concurrency
    """Requests at a time."""

    circuit_failures: _Positive = _ADVISOR.circuit_failures
    """Prompts given up in a row after which the endpoint is left alone."""

    circuit_cooldown: _Rate = _ADVISOR.circuit_cooldown
    """Seconds until it is tried again."""

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
    """Where the knowledge graph is, what it was taught, and whether it forgets."""

    shared: _FilePath | None = None
    """Folder of a graph that several runs share; ``None`` gives the run its own."""

    lessons: tuple[_FilePath, ...] = ()
    """Files of prior experience (``kirl graph import --help``), taught at the start."""

    half_life: _Rate | None = None
    """Flows after which a flow counts half in confidence and rewards; ``None`` never forgets,
    and a forgetting graph depends on the order of its merges."""

    resource: str | None = None
    """Name of a custom resource of Ray's; the graph's actors run on nodes that have it, which
    must see the run's folder under the same path. ``None`` keeps them on the node of the
    command, or of the job's driver."""

    def read_lessons(self, catalogue: Catalogue) -> tuple[Lesson, ...]:
        """All files' lessons; raises :class:`InputError` for one that cannot be used."""
        return tuple(
            lesson for path in self.lessons for lesson in lesson_files.read_lessons(path, catalogue)
        )


class DriftSettings(_Settings):
    """A change of traffic in the middle of training (:class:`envs.drift.Drift`)."""

    at: _Positive | None = None
    """Flows before it; ``None`` for no drift."""

    becomes: str | None = None
    """True class of the changed flows."""

    traffic: str | None = None
    """True class that changes."""

    signature: Annotated[int, Field(ge=0, strict=True)] | None = None
    """Number of the signature that goes stale."""

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
    """Learning from a stream whose feedback is late, and whose traffic may change."""

    delay: Annotated[int, Field(ge=0, strict=True)] = 0
    """Flows that are decided before a flow's feedback comes."""

    drift: DriftSettings = DriftSettings()
    """A change of traffic."""


class PriorSettings(_Settings):
    """Beta prior of a signature's confidence (eq. 1); 1, 1 is uniform."""

    alpha: _Rate = 1.0
    """Flows detected correctly that it counts for."""

    beta: _Rate = 1.0
    """Flows detected wrongly that it counts for."""


class TrackingSettings(_Settings):
    """Who is told how a run goes, besides its own ``progress.jsonl``."""

    tensorboard: bool = True
    """Write event files into the run's folder ``tensorboard``."""

    mlflow: str | None = None
    """Address of a tracking server, or ``sqlite:///FILE``."""

    wandb: str | None = None
    """Project at Weights & Biases."""


class TrainingSettings(_Settings):
    """All that decides a training run, besides its scenario."""

    algo: Algo = "ppo-kg"
    """``ppo``; ``ppo-kg`` with graph, advice and KL term; ``ppo-kg-pt``, which clones the
    advisor first; ``llm-kg``, the advisor alone; ``dl``, supervised learning; ``dqn``,
    another learner, and ``dqn-kg``, the same with graph, advice and KL term; ``linucb`` and
    ``thompson``, contextual bandits."""

    flows: _Positive | None = None
    """Flows to train on; exclusive with ``passes``."""

    passes: _Rate | None = None
    """The same in passes over the training flows (default 5, the paper's; ``dl``: its
    epochs)."""

    matching: Matching = "cross-fitted"
    """``fitted`` meets the training flows as the detector matches them, and it hardly errs on
    those. ``cross-fitted`` meets them in turn so and as they are matched honestly (``kirl
    prepare --cross-fit``)."""

    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)] = 0
    """Of flow order, exploration and network initialisation."""

    runners: Annotated[int, Field(ge=0, le=4096, strict=True)] = 0
    """Remote environment runners; 0 steps in the driver. It changes speed only."""

    checkpoint_seconds: _Rate = 30.0
    """Time between two checkpoints."""

    network: NetworkSettings = NetworkSettings()
    ppo: PPOSettings = PPOSettings()
    dqn: DQNSettings = DQNSettings()
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
    def learning(self) -> PPOSettings | DQNSettings:
        """The group of settings that the algorithm learns by."""
        return self.dqn if self.learning_group == "dqn" else self.ppo

    @property
    def learning_group(self) -> Literal["ppo", "dqn"]:
        """Its name."""
        return "dqn" if self.algo in ("dqn", "dqn-kg") else "ppo"

    def total_flows(self, training_flows: int) -> int:
        """Flows to train on, given the size of the training set."""
        if self.flows is not None:
            return self.flows
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
    if "flows" in given:
        data.pop("passes", None)
    if "passes" in given:
        data.pop("flows", None)
    data.update(given)
    if data.get("flows") is not None and data.get("passes") is not None:
        raise InputError(
            "both flows and passes are set", expected="one of them", mend="Leave one out"
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
            mend="kirl settings shows them all",
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


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting, as ``--set`` takes it.

    Attributes:
        key: its name, groups and all.
        default: as YAML has it.
        about: what it means.
    """

    key: str
    default: str
    about: str


def described() -> list[Setting]:
    """Every setting, in order."""
    return list(_described(TrainingSettings, ""))


def groups() -> dict[str, str]:
    """What each group of settings is about, by its name; "" has those without a group."""
    fields = TrainingSettings.model_fields.items()
    found = {name: type(field.default) for name, field in fields}
    models = {"": TrainingSettings, **{n: m for n, m in found.items() if issubclass(m, _Settings)}}
    return {name: (model.__doc__ or "").splitlines()[0] for name, model in models.items()}


def _described(model: type[BaseModel], prefix: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            yield from _described(type(default), f"{prefix}{name}.")
            continue
        shown = list(default) if isinstance(default, tuple) else default
        about = (field.description or "").replace("``None``", "null").replace("``", "")
        yield Setting(f"{prefix}{name}", "null" if shown is None else str(shown), about)


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
