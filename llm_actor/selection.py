"""Which advisor, with which options: plain data that can be sent, compared and built from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Any

from envs.errors import InputError
from llm_actor import registry
from llm_actor.advisor import Advisor
from llm_actor.embedded import EMBEDDED
from llm_actor.registry import DType, Mode

_LEAST = {"token_budget": 1, "retries": 0, "concurrency": 1}

_WITHOUT_INFLUENCE = frozenset(
    {"device", "token_budget", "api_key_env", "timeout_seconds", "retries", "concurrency"}
)
"""Options that answers do not depend on."""


@dataclass(frozen=True)
class AdvisorSpec:
    """An advisor to be built.

    Every option but ``kind`` is ``None`` where it was not given, and then has the default of the
    kind (:mod:`llm_actor.registry`). An option that the kind has no use for is refused.

    Attributes:
        kind: its name in the registry, such as ``graph-reader`` or ``endpoint``.
        temperature: of the graph reader's softmax, in reward units; an endpoint falls back on
            the graph reader.
        model: hub id or folder, or the endpoint's name for its model.
        revision: branch, tag or commit of a hub model.
        device: ``auto``, or PyTorch's name of one.
        dtype: number format of the weights.
        mode: ``score`` weighs every candidate, ``generate`` lets the model write an answer.
        template: the prompt template's file.
        token_budget: most tokens of a model's batch, padding included.
        url: the endpoint's base URL.
        api_key_env: environment variable that holds the endpoint's key.
        timeout_seconds: time limit of one request to the endpoint.
        retries: how often a failed request is made again.
        concurrency: requests at a time.

    Raises:
        InputError: an unknown kind, an option that it has no use for, one that it needs and that
            is missing, or a number out of range.
    """

    kind: str = "graph-reader"
    temperature: float | None = None
    model: str | None = None
    revision: str | None = None
    device: str | None = None
    dtype: DType | None = None
    mode: Mode | None = None
    template: Path | None = None
    token_budget: int | None = None
    url: str | None = None
    api_key_env: str | None = None
    timeout_seconds: float | None = None
    retries: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        uses, options = registry.kind(self.kind).uses, self.options
        useless = [name for name in options if name not in uses]
        if useless:
            raise _bad(
                f"{self.kind} has no use for {' and '.join(useless)}",
                f"{self.kind} with {', '.join(uses)} or fewer of them" if uses else "no option",
            )
        missing = [name for name in registry.kind(self.kind).required if not options.get(name)]
        if missing:
            raise _bad(f"{self.kind} needs {' and '.join(missing)}", "a value for each")
        for name in ("temperature", "timeout_seconds"):
            if not 0 < options.get(name, 1.0) < inf:
                raise _bad(f"{name} is {options[name]}", "a number above 0")
        for name, least in _LEAST.items():
            if options.get(name, least) < least:
                raise _bad(f"{name} is {options[name]}", f"at least {least}")

    @property
    def options(self) -> dict[str, Any]:
        """The options that were given, besides the kind."""
        every = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        return {name: value for name, value in every.items() if value is not None}

    @property
    def holds_model(self) -> bool:
        """Whether the advisor's own process computes with a language model."""
        return registry.kind(self.kind).holds_model

    @property
    def name(self) -> str:
        """A short name that reports show: the model's without its folder or owner, or the kind."""
        return Path(str(self._resolved().get("model") or self.kind)).name

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
        found = self._resolved()
        decisive: dict[str, object] = {"kind": self.kind}
        decisive |= {name: found[name] for name in found if name not in _WITHOUT_INFLUENCE}
        if self.holds_model:
            decisive["files"] = _files(Path(str(found.get("model") or EMBEDDED)))
        if "template" in found:
            from llm_actor.text import DEFAULT_TEMPLATE, Template

            decisive["template"] = asdict(Template.read(self.template or DEFAULT_TEMPLATE))
        text = json.dumps(decisive, sort_keys=True, default=str)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def _resolved(self) -> dict[str, Any]:
        """All options of the kind, those that were not given by their defaults."""
        return {**registry.kind(self.kind).defaults, **self.options}


def build(spec: AdvisorSpec) -> Advisor:
    """The advisor itself, ready to answer. Loads a language model where there is one.

    Raises:
        InputError: the model or the template cannot be used.
    """
    return registry.kind(spec.kind).make(**spec.options)


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change (ns) of a local model's files; none for a hub id."""
    try:
        found = [(file.name, file.stat()) for file in folder.iterdir()]
    except OSError:
        return []
    return sorted((name, status.st_size, status.st_mtime_ns) for name, status in found)


def _bad(what: str, expected: str) -> InputError:
    return InputError(
        what,
        where="advisor",
        expected=expected,
        mend="Change the settings advice.*; kirl advisor list shows who takes which",
    )
