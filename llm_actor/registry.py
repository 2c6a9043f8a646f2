"""The kinds of advisor: what each one is, which options it takes, and how it is built.

Four kinds are built in. Installed packages add more through the entry-point group
``kirl.advisors``, whose entries name a class::

    [project.entry-points."kirl.advisors"]
    cautious = "my_package.advice:Cautious"

Such a class has an attribute ``name`` and a method ``log_probabilities(prompts)`` (see
:class:`llm_actor.advisor.Advisor`). The parameters of its ``__init__`` are the options that it
takes, by the names of :class:`llm_actor.selection.AdvisorSpec`; one without a default has to be
given. A class with ``holds_model = True`` computes with a model of its own: it gets Ray actors,
and a GPU where one is free. A class is imported only when its name is asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from envs.errors import InputError
from llm_actor.advisor import Advisor, GraphReader
from llm_actor.embedded import EMBEDDED

GROUP = "kirl.advisors"
"""The entry-point group that packages add their advisors to."""

PHI = "microsoft/Phi-3.5-mini-instruct"
"""The paper's model, by its hub id."""

DType = Literal["auto", "float32", "bfloat16", "float16"]
Mode = Literal["score", "generate"]


@dataclass(frozen=True)
class AdvisorKind:
    """One kind of advisor.

    Attributes:
        name: what settings and ``--advisor`` call it.
        about: what it is, one sentence.
        make: builds the advisor from its options, which are the keyword parameters.
        holds_model: whether it computes with a model in its own process.
    """

    name: str
    about: str
    make: Callable[..., Advisor]
    holds_model: bool = False

    @property
    def uses(self) -> tuple[str, ...]:
        """The options that it takes."""
        return tuple(one.name for one in self._parameters())

    @property
    def required(self) -> tuple[str, ...]:
        """Those of them that have to be given."""
        return tuple(one.name for one in self._parameters() if one.default is one.empty)

    @property
    def defaults(self) -> dict[str, Any]:
        """The values of the others where they are not given."""
        found = self._parameters()
        return {one.name: one.default for one in found if one.default is not one.empty}

    def _parameters(self) -> list[inspect.Parameter]:
        found = inspect.signature(self.make).parameters.values()
        return [one for one in found if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


def names() -> tuple[str, ...]:
    """The names of all kinds, those of installed packages behind the built-in ones."""
    return (*_BUILT_IN, *sorted(name for name in _installed() if name not in _BUILT_IN))


def kind(name: str) -> AdvisorKind:
    """The kind of that name. A built-in kind goes before a package's of the same name.

    Raises:
        InputError: there is none, or a package's advisor cannot be used.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    entry = _installed().get(name)
    if entry is None:
        raise InputError(
            f"there is no advisor {name!r}",
            where="advisor",
            expected=f"one of {', '.join(names())}",
            mend="Choose one of those, or install the package that has it",
        )
    return _of_package(entry)


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _of_package(entry: EntryPoint) -> AdvisorKind:
    try:
        made = entry.load()
    # A package may fail in any way while it is imported.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise _unusable(entry, f"cannot be imported ({reason})") from error
    if not callable(made) or not callable(getattr(made, "log_probabilities", None)):
        raise _unusable(entry, "is not a class with a method log_probabilities")
    about = (inspect.getdoc(made) or "An advisor without a description.").splitlines()[0]
    return AdvisorKind(entry.name, about, made, bool(getattr(made, "holds_model", False)))


def _unusable(entry: EntryPoint, what: str) -> InputError:
    return InputError(
        f"{entry.value} {what}",
        where=f"advisor {entry.name}",
        expected="a class with an attribute name and a method log_probabilities(prompts)",
        mend=f"Mend or remove the package that adds it to the entry points {GROUP!r}",
    )


def _graph_reader(temperature: float = 0.25) -> Advisor:
    return GraphReader(temperature)


def _embedded(
    device: str = "auto",
    dtype: DType = "auto",
    mode: Mode = "score",
    template: Path | None = None,
    token_budget: int | None = None,
) -> Advisor:
    return _transformers(str(EMBEDDED), None, device, dtype, mode, template, token_budget)


def _transformers(
    model: str = PHI,
    revision: str | None = None,
    device: str = "auto",
    dtype: DType = "auto",
    mode: Mode = "score",
    template: Path | None = None,
    token_budget: int | None = None,
) -> Advisor:
    from llm_actor.text import DEFAULT_TEMPLATE, Template

    path = template or DEFAULT_TEMPLATE
    # A template that cannot be used is refused now, not after the minutes that a model takes.
    Template.read(path)
    from llm_actor.model_files import ModelSource
    from llm_actor.transformers_advisor import TransformersAdvisor

    source = ModelSource(model, revision, device, dtype)
    return TransformersAdvisor(source, mode, path, token_budget)


def _endpoint(
    url: str,
    model: str,
    api_key_env: str | None = None,
    timeout_seconds: float = 60.0,
    retries: int = 3,
    concurrency: int = 8,
    template: Path | None = None,
    temperature: float = 0.25,
) -> Advisor:
    from llm_actor.endpoint import Endpoint
    from llm_actor.endpoint_advisor import EndpointAdvisor
    from llm_actor.text import DEFAULT_TEMPLATE

    return EndpointAdvisor(
        Endpoint(url, model, api_key_env, timeout_seconds, retries),
        concurrency=concurrency,
        template=template or DEFAULT_TEMPLATE,
        fallback=GraphReader(temperature),
    )


_BUILT_IN = {
    one.name: one
    for one in (
        AdvisorKind(
            "graph-reader",
            "Weighs actions by the rewards on record, without a language model.",
            _graph_reader,
        ),
        AdvisorKind(
            "embedded",
            "Asks the small language model that ships with kirl.",
            _embedded,
            holds_model=True,
        ),
        AdvisorKind(
            "transformers",
            "Asks a language model of the Hugging Face hub or of a folder.",
            _transformers,
            holds_model=True,
        ),
        AdvisorKind(
            "endpoint",
            "Asks a language model behind an OpenAI-compatible server.",
            _endpoint,
        ),
    )
}
