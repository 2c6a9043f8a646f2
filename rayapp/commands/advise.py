"""``kirl advise``: one signature's prompt, and what an advisor makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress_bar import ProgressBar
from rich.table import Table

from envs import InputError
from kg_actor import KnowledgeGraph, Neighbourhood, neighbourhood, queries, records_of
from kg_actor.records import ActionRecord
from llm_actor import Advisor, GraphReader, Prompts, compose
from llm_actor.advisor import FLOOR, ask
from llm_actor.labels import label
from llm_actor.selection import AdvisorSpec
from llm_actor.text import DEFAULT_TEMPLATE, Template, messages
from rayapp import config
from rayapp.commands import console
from rayapp.commands.graph import Address, AsJson, find_source
from rayapp.config import AdviceSettings
from rayapp.rl.reference import Reference
from rayapp.runs import graphs
from rayapp.runs.folder import RunFolder
from rayapp.runs.graphs import as_input_error

Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="advice.KEY=VALUE",
        help="Set an option of the advisor, such as advice.model or advice.gpus=0; repeatable. "
        "List them with: kirl settings advice.",
    ),
]

USABLE = frozenset(field.name for field in fields(AdvisorSpec)) | {"advisor", "gpus"}
"""Settings below ``advice`` that have an effect where an advisor is asked in this process."""


@dataclass(frozen=True)
class Advice:
    """What an advisor says about one signature.

    Attributes:
        spec: the advisor.
        answered: whether it answered itself; where an endpoint does not, the graph reader does.
        prompt: the text that it reads.
        records: those that the prompt was made from.
        prompts: the one prompt.
        probabilities: float64 [actions], the advisor's.
        promised: float32 [actions], expected reward by the records that the prompt tells.
        reference: how the run makes its reference policy of the probabilities.
    """

    spec: AdvisorSpec
    answered: bool
    prompt: str
    records: Neighbourhood
    prompts: Prompts
    probabilities: NDArray[np.float64]
    promised: NDArray[np.float32]
    reference: Reference

    @property
    def candidates(self) -> list[int]:
        """Indices of the actions that the prompt lists, in its order."""
        found: list[int] = np.flatnonzero(self.prompts.candidates[0]).tolist()
        return found

    @property
    def left_out(self) -> list[int]:
        """Indices of the others."""
        found: list[int] = np.flatnonzero(~self.prompts.candidates[0]).tolist()
        return found

    @property
    def chosen(self) -> int:
        """Index of the likeliest candidate; the first of equals."""
        return max(self.candidates, key=lambda action: self.probabilities[action])

    @property
    def policy(self) -> NDArray[np.float64]:
        """The reference policy, float64 [actions]: what the KL term holds the run's policy to."""
        logarithms = np.log(self.probabilities[None]).astype(np.float32)
        policy: NDArray[np.float64] = np.exp(self.reference.policy(logarithms)[0].astype(float))
        return policy

    def record(self, action: int) -> ActionRecord | None:
        """What an action has earned under the predicted type, if it was ever tried."""
        name = self.prompts.catalogue.action_names[action]
        return next((record for record in self.records.actions if record.action == name), None)

    def to_json(self) -> dict[str, Any]:
        """All of it, in a form that JSON has."""
        return {
            "advisor": {
                "kind": self.spec.kind,
                "name": self.spec.name,
                "revision": self.spec.revision_key,
                "answered": self.answered,
            },
            "prompt": self.prompt,
            "records": queries.to_json(self.records),
            "candidates": [self._action(action) for action in self.candidates],
            "left_out": [self._action(action) for action in self.left_out],
            "floor": FLOOR,
            "reference": asdict(self.reference),
            "chosen": self._action(self.chosen),
        }

    def _action(self, action: int) -> dict[str, Any]:
        record = self.record(action)
        return {
            "action": self.prompts.catalogue.action_names[action],
            "probability": float(self.probabilities[action]),
            "reference_probability": float(self.policy[action]),
            "promised_reward": float(self.promised[action]),
            "mean_reward": record.mean_reward if record else None,
            "flows": record.count if record else 0,
        }


def advise(
    run: Annotated[str, typer.Option(help=f"Take the graph of {graphs.EXPECTED}.")],
    signature: Annotated[int, typer.Option(help="Ask about the signature of this number.")],
    advisor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the advisor to ask (default: the run's own, with its own options). "
            "List them with: kirl advisor list.",
        ),
    ] = None,
    assignments: Assignments = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Show what an advisor is told about a signature, and what it says."""
    options = given_options(assignments or [])
    own = AdviceSettings() if advisor else _own_settings(run)
    chosen = {"advisor": advisor} if advisor else {}
    spec = own.model_copy(update=options | chosen).spec()
    with find_source(run, address) as found, as_input_error(run):
        records, graph = neighbourhood(found.graph, signature), found.graph
        note = found.note
    answer = advice(graph, records, spec, _reference(run))
    if as_json:
        console.print_json({**answer.to_json(), "note": note})
        return
    _show(answer, note)


def advice(
    graph: KnowledgeGraph, records: Neighbourhood, spec: AdvisorSpec, reference: Reference
) -> Advice:
    """Asks an advisor about one signature of a graph.

    Args:
        graph: the graph.
        records: of the signature.
        spec: the advisor, which is built first.
        reference: how advice becomes the reference policy.

    Raises:
        InputError: the advisor cannot be built or cannot answer, or a name does not fit into a
            prompt.
    """
    every = records_of(graph.counts(), graph.catalogue, graph.prior)
    prompts = compose(every, graph.catalogue).take([_context(graph, records.signature)])
    built = console.loaded(spec)
    console.warn_of_template(spec)
    answers, own = ask(built, prompts)
    # In double precision, so that rounding does not show in the sum.
    probabilities = np.exp(answers[0].astype(np.float64))
    promised = GraphReader().promised(prompts)[0]
    text = _text(spec, built, prompts)
    return Advice(spec, bool(own[0]), text, records, prompts, probabilities, promised, reference)


def _context(graph: KnowledgeGraph, signature: int) -> int:
    """The context in which most flows of a signature were met.

    Without a second opinion a signature has one context.
    """
    counts = graph.counts()
    own = np.flatnonzero(counts.contexts.signature == signature)
    return int(own[counts.context_evidence[own].sum(axis=1).argmax()])


def given_options(assignments: Sequence[str]) -> dict[str, Any]:
    """The settings below ``advice`` that ``--set`` gives, by their names.

    Raises:
        InputError: not a setting, a value that does not fit, or a setting without effect here.
    """
    settings = config.load(None, assignments, {})
    options = {name: getattr(settings.advice, name) for name in settings.advice.model_fields_set}
    useless = sorted(settings.model_fields_set - {"advice"})
    useless += [f"advice.{name}" for name in options if name not in USABLE]
    if useless:
        known = sorted(name for name in AdviceSettings.model_fields if name in USABLE)
        raise InputError(
            f"--set {' and '.join(useless)} changes nothing here",
            expected=f"advice.KEY=VALUE, where KEY is one of {', '.join(known)}",
            mend="Leave it out; it is for kirl train",
        )
    return options


def _own_settings(source: str) -> AdviceSettings:
    """A run's own advice settings; the defaults for a graph that is no run's."""
    folder = RunFolder(Path(source))
    if not source.startswith(graphs.LIVE) and folder.exists():
        return folder.manifest().settings.advice
    return AdviceSettings()


def _reference(source: str) -> Reference:
    """How a run makes its reference policy; the usual way for a graph that is no run's."""
    folder = RunFolder(Path(source))
    if not source.startswith(graphs.LIVE) and folder.exists():
        return folder.manifest().settings.kl.reference_of_advice()
    return Reference()


def _text(spec: AdvisorSpec, advisor: Advisor, prompts: Prompts) -> str:
    """What the advisor reads: a language model its chat format, the others the same parts."""
    texts = getattr(advisor, "texts", None)
    if texts is not None:
        return str(texts(prompts)[0])
    (chat,) = messages(prompts, Template.read(spec.template or DEFAULT_TEMPLATE))
    return "\n\n".join(part["content"] for part in chat)


def _show(answer: Advice, note: str | None) -> None:
    records, names = answer.records, answer.prompts.catalogue.action_names
    console.out.print("The advisor reads:", style="bold")
    console.out.print(answer.prompt, soft_wrap=True)
    console.out.print()
    console.out.print(_records_line(records), soft_wrap=True)
    console.out.print(_candidate_table(answer))
    if answer.left_out:
        console.out.print(
            f"Left out by their records, {FLOOR:g} each "
            f"({answer.policy[answer.left_out].mean():.2g} in the reference policy): "
            + ", ".join(names[action] for action in answer.left_out),
            soft_wrap=True,
        )
    chosen, record = answer.chosen, answer.record(answer.chosen)
    earned = (
        f"has earned {record.mean_reward:.2f} per flow under {records.predicted} "
        f"({record.count:,} flows)"
        if record
        else f"was never tried under {records.predicted}"
    )
    console.out.print(f"Chosen: {names[chosen]}; it {earned}", soft_wrap=True, style="bold")
    console.out.print(f"Said by {_who(answer)}", soft_wrap=True)
    if note:
        console.out.print(note)


def _who(answer: Advice) -> str:
    own = f"{answer.spec.name} ({answer.spec.kind}, revision {answer.spec.revision_key})"
    return own if answer.answered else f"the graph reader, as {own} did not answer"


def _records_line(records: Neighbourhood) -> str:
    confused = "; ".join(
        f"{one.count:,} were {one.actual} ({100 * one.share:.2f} %)" for one in records.confusions
    )
    return (
        f"Records at version {records.version:,}: signature {records.signature}, "
        f"{records.predicted}, {records.correct:,} of {records.seen:,} flows detected correctly, "
        f"confidence {records.confidence:.4f}; {confused or 'none was of another type'}"
    )


def _candidate_table(answer: Advice) -> Table:
    table = Table(
        caption="reference: policy that the KL term holds to, "
        f"kl.reference={answer.reference.kind}; "
        "mean reward: on record under the predicted type; "
        "promised: expected, with the types that the signature was confused with weighed in"
    )
    table.add_column("label")
    table.add_column("action")
    table.add_column("probability", justify="right")
    table.add_column("")
    for name in ("reference", "mean reward", "flows", "promised"):
        table.add_column(name, justify="right")
    places = list(enumerate(answer.candidates))
    for place, action in sorted(places, key=lambda each: -answer.probabilities[each[1]]):
        record, share = answer.record(action), float(answer.probabilities[action])
        table.add_row(
            label(place),
            answer.prompts.catalogue.action_names[action],
            f"{share:.4f}",
            ProgressBar(total=1.0, completed=share, width=20),
            f"{answer.policy[action]:.4f}",
            f"{record.mean_reward:.2f}" if record else "untried",
            f"{record.count:,}" if record else "0",
            f"{answer.promised[action]:.2f}",
            style="bold" if action == answer.chosen else None,
        )
    return table
