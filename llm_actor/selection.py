"""Which advisor, with which options: plain data that can be sent, compared and built from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Literal, get_args

from envs.errors import InputError
from llm_actor.advisor import Advisor, GraphReader

Kind = Literal["graph-reader", "embedded", "transformers", "endpoint"]

EMBEDDED = Path(__file__).with_name("embedded") / "weights"
"""The model that ships with the package."""


_LEAST = {"token_budget": 1, "retries": 0, "concurrency": 1, "circuit_failures": 1}


@dataclass(frozen=True)
class AdvisorSpec:
    """An advisor to be built. Fields that its kind has no use for are ignored.

    Attributes:
        kind: ``graph-reader`` uses no language model, ``embedded`` the one that ships with the
            package, ``transformers`` any causal one, ``endpoint`` that of an OpenAI-compatible
            server.
        temperature: of the graph reader's softmax, in reward units; an endpoint falls back on
            the graph reader.
        model: hub id or folder (``None`` is the paper's), or the endpoint's name for its model.
        revision: branch, tag or commit of a hub model.
        device: ``auto``, or PyTorch's name of one.
        dtype: of the weights; ``auto`` is bfloat16 on a GPU and float32 elsewhere.
        attention: the attention implementation.
        offline: use what is on the disk and never ask the hub.
        mode: ``score`` weighs every candidate, ``generate`` lets the model write an answer.
        template: the prompt template's file; ``None`` is the package's own.
        token_budget: most tokens of a batch, padding included; ``None`` suits the device.
        url: of the endpoint.
        api_key_env: environment variable that holds the endpoint's key.
        timeout_seconds: for one request to the endpoint.
        retries: of a request that may do better later.
        concurrency: requests at a time.
        circuit_failures: prompts given up in a row after which the endpoint is left alone.
        circuit_cooldown: seconds until it is tried again.

    Raises:
        InputError: an unknown kind, a number out of range, or an endpoint without its url.
    """

    kind: Kind = "graph-reader"
    temperature: float = 0.25
    model: str | None = None
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attention: Literal["sdpa", "eager"] = "sdpa"
    offline: bool = False
    mode: Literal["score", "generate"] = "score"
    template: Path | None = None
    token_budget: int | None = None
    url: str | None = None
    api_key_env: str | None = None
    timeout_seconds: float = 60.0
    retries: int = 3
    concurrency: int = 8
    circuit_failures: int = 5
    circuit_cooldown: float = 30.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise _bad(f"{self.kind!r} is no kind of advisor", ", ".join(get_args(Kind)))
        for name in ("temperature", "timeout_seconds", "circuit_cooldown"):
            if not 0 < getattr(self, name) < inf:
                raise _bad(f"{name} is {getattr(self, name)}", "a number above 0")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise _bad(f"{name} is {value}", f"at least {least}")
        if self.kind == "endpoint" and not (self.url and self.model):
            raise _bad("an endpoint has no url or no model", "both")

    @property
    def holds_model(self) -> bool:
        """Whether the advisor's own process computes with a language model."""
        return self.kind in ("embedded", "transformers")

    @property
    def name(self) -> str:
        """A short name that reports show."""
        if self.kind in ("graph-reader", "embedded"):
            return self.kind
        return Path(self._model()).name

    @property
    def other_template(self) -> bool:
        """Whether prompts are put in other words than those of the package's own template.

        Raises:
            InputError: the template cannot be read.
        """
        from llm_actor.text import Template

        return self.template is not None and Template.read(self.template) != Template.read()

    @property
    def revision_key(self) -> str:
        """Equal for equal model, template and whatever else decides over the answers.

        A local model counts by its files' sizes and times of change, so it has to be asked for
        where the files are. 32 hexadecimal digits.

        Raises:
            InputError: the template cannot be read.
        """
        decisive: dict[str, object] = {"kind": self.kind}
        if self.kind in ("graph-reader", "endpoint"):
            decisive["temperature"] = self.temperature
        if self.kind == "endpoint":
            decisive |= {"url": self.url, "model": self.model}
        if self.holds_model:
            decisive |= {
                "model": self._model(),
                "files": _files(Path(self._model())),
                **{key: getattr(self, key) for key in ("revision", "dtype", "attention", "mode")},
            }
        if self.kind != "graph-reader":
            from llm_actor.text import Template

            decisive["template"] = asdict(Template.read(self._template()))
        return blake2b(json.dumps(decisive, sort_keys=True).encode(), digest_size=16).hexdigest()

    def _model(self) -> str:
        if self.kind == "embedded":
            return str(EMBEDDED)
        if self.model is not None:
            return self.model
        from llm_actor.model_files import PHI

        return PHI

    def _template(self) -> Path:
        from llm_actor.text import DEFAULT_TEMPLATE

        return self.template or DEFAULT_TEMPLATE


def build(spec: AdvisorSpec) -> Advisor:
    """The advisor itself, ready to answer. Loads a language model where there is one.

    Raises:
        InputError: the model or the template cannot be used.
    """
    if spec.kind == "graph-reader":
        return GraphReader(spec.temperature)
    if spec.kind == "endpoint":
        return _endpoint(spec, spec.url or "", spec.model or "")
    from llm_actor.text import Template

    # A template that cannot be used is told at once, not after the minutes that a model takes.
    Template.read(spec._template())
    from llm_actor.model_files import ModelSource
    from llm_actor.transformers_advisor import TransformersAdvisor

    source = ModelSource(
        spec._model(),
        spec.revision if spec.kind == "transformers" else None,
        spec.device,
        spec.dtype,
        spec.attention,
        # What ships with the package is never looked for on the hub.
        offline=spec.offline or spec.kind == "embedded",
    )
    return TransformersAdvisor(source, spec.mode, spec._template(), spec.token_budget)


def _endpoint(spec: AdvisorSpec, url: str, model: str) -> Advisor:
    from llm_actor.circuit import Circuit
    from llm_actor.endpoint_advisor import EndpointAdvisor

    return EndpointAdvisor(
        url,
        model,
        api_key_env=spec.api_key_env,
        timeout_seconds=spec.timeout_seconds,
        retries=spec.retries,
        concurrency=spec.concurrency,
        template=spec._template(),
        circuit=Circuit(spec.circuit_failures, spec.circuit_cooldown),
        fallback=GraphReader(spec.temperature),
    )


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change (ns) of a local model's files; none for a hub id."""
    try:
        found = [(file.name, file.stat()) for file in folder.iterdir()]
    except OSError:
        return []
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in found)


def _bad(what: str, expected: str) -> InputError:
    return InputError(what, where="advisor", expected=expected, mend="Check the settings 'advice'")
