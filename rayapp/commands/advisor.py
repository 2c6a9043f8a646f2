"""``kirl advisor``: list and compare advisors, and train the small model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from envs import InputError
from envs.files import check_writable
from llm_actor import registry
from llm_actor.selection import AdvisorSpec
from rayapp.commands import console
from rayapp.commands.advise import Assignments, given_options
from rayapp.commands.graph import AsJson
from rayapp.config import AdviceSettings

if TYPE_CHECKING:
    from rayapp.lab.small_model.exam import Figures

app = typer.Typer(help="List and compare advisors, and train the small one.", no_args_is_help=True)

_USUAL = ("graph-reader", "embedded")

MINUTES = 7.0
"""How long the training took whose result ships."""

REMARK = (
    "The optimum is what the graph reader computes, so it is right wherever records speak, by "
    "construction; where they are silent it promises 0 for every action and takes the first."
)


def listed(as_json: AsJson = False) -> None:
    """List all advisors, those of installed packages included, and the options that each takes."""
    described = [_described(name) for name in registry.names()]
    if as_json:
        console.print_json({"advisors": described})
        return
    table = Table("advisor", "what it is", "options (advice.*)", show_lines=True)
    for one in described:
        required = [f"{name} (required)" for name in one["required"]]
        defaults = one["defaults"].items()
        optional = [name if value is None else f"{name}={value}" for name, value in defaults]
        table.add_row(one["name"], one["about"], ", ".join([*required, *optional]))
    console.out.print(table)


def compare(
    advisor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name of an advisor to compare; repeatable (default: graph-reader and embedded). "
            "List them with: kirl advisor list.",
        ),
    ] = None,
    assignments: Assignments = None,
    neighbourhoods: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="Draw so many neighbourhoods of each of 13 shapes."),
    ] = 50,
    seed: Annotated[
        int, typer.Option(min=1, max=2**31, help="Draw the neighbourhoods with this seed.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Compare advisors on simulated neighbourhoods that no training has seen.

    Names are made up and in no training either, except in the two shapes that have ATT&CK's.
    An option that --set gives is for those of the advisors that have a use for it.
    """
    options = given_options(assignments or [])
    usual = [options.pop("advisor")] if "advisor" in options else _USUAL
    specs = chosen_specs(list(dict.fromkeys(advisor or usual)), options)
    from rayapp.lab.small_model.exam import draw_exams, examine

    with console.working("Drawing neighbourhoods"):
        exams = list(draw_exams(neighbourhoods, seed))
    found: list[tuple[AdvisorSpec, Figures]] = []
    for spec in specs:
        built = console.loaded(spec)
        console.warn_of_template(spec)
        with console.Reporter(f"Asking {spec.name}", "prompts") as reporter:
            found.append((spec, examine(built, exams, reporter)))
    prompts = sum(len(exam.silent) for exam in exams)
    if as_json:
        advisors = [_identity(spec) | asdict(figures) for spec, figures in found]
        console.print_json(
            {"seed": seed, "neighbourhoods": prompts, "advisors": advisors, "remark": REMARK}
        )
        return
    console.out.print(_table(found, prompts))
    console.out.print(REMARK, soft_wrap=True)


def train(
    out: Annotated[Path, typer.Option(help="Write the model and its evaluation to a new folder.")],
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help=f"Stop after so long (default: {MINUTES:g} without --steps)."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    batch: Annotated[
        int, typer.Option(min=4, help="Draw so many neighbourhoods for each step.")
    ] = 2048,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31, help="Draw weights, names and neighbourhoods with it.")
    ] = 0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="Compute on this device; auto takes a GPU where there is one."),
    ] = "auto",
    neighbourhoods: Annotated[
        int, typer.Option(min=1, help="Judge the result on so many neighbourhoods of each shape.")
    ] = 4096,
    as_json: AsJson = False,
) -> None:
    """Train the small language model on simulated neighbourhoods, and judge it."""
    _check_new(out)
    from llm_actor.model_files import ModelSource
    from rayapp.lab.small_model.model import Size
    from rayapp.lab.small_model.train import Plan, train_and_judge

    where = ModelSource(str(out), device=device).where().type
    limit = MINUTES if minutes is None and steps is None else minutes
    plan = Plan(steps or 1_000_000, batch, limit, rate=2e-3, seed=seed, device=where)
    result = train_and_judge(out, plan, Size(), neighbourhoods, console.working("Judging"))
    if as_json:
        console.print_json(result)
        return
    shown = ("alone", "misled", "silent", "kl")
    console.out.print(
        f"Written to {out}: " + ", ".join(f"{key} {result[key]}" for key in shown), soft_wrap=True
    )
    console.out.print(
        f"Compare it: kirl advisor eval --advisor transformers --set advice.model={out}",
        soft_wrap=True,
    )


def chosen_specs(names: Sequence[str], options: dict[str, Any]) -> list[AdvisorSpec]:
    """The advisors of these names, each with those of the options that it has a use for.

    Raises:
        InputError: no such advisor, an option that none of them has a use for, or one that is
            needed and missing.
    """
    # Without a GPU is what a model's device says.
    asked = {name: "device" if name == "gpus" else name for name in options}
    uses = {name: registry.kind(name).uses for name in names}
    for option, field in asked.items():
        if not any(field in every for every in uses.values()):
            raise InputError(
                f"{' and '.join(names)} has no use for advice.{option}",
                where="--set",
                mend="Leave it out, or choose another --advisor: kirl advisor list",
            )
    return [
        AdviceSettings(
            advisor=name, **{key: options[key] for key in options if asked[key] in uses[name]}
        ).spec()
        for name in names
    ]


def _described(name: str) -> dict[str, Any]:
    try:
        found = registry.kind(name)
    except InputError as error:
        # One package that is broken must not hide the others' advisors.
        return {"name": name, "about": str(error), "required": [], "defaults": {}}
    return {
        "name": name,
        "about": found.about,
        "required": list(found.required),
        # The setting behind an advisor's device is how many GPUs it gets.
        "defaults": {
            "gpus" if key == "device" else key: _plain(value)
            for key, value in found.defaults.items()
        },
    }


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else str(value)


def _identity(spec: AdvisorSpec) -> dict[str, Any]:
    return {
        "kind": spec.kind,
        "name": spec.name,
        "model": spec.model,
        "revision": spec.revision_key,
    }


def _table(found: Sequence[tuple[AdvisorSpec, Figures]], prompts: int) -> Table:
    table = Table(title=f"{prompts:,} simulated neighbourhoods")
    table.add_column("measured")
    for spec, _ in found:
        shown = spec.kind if spec.name == spec.kind else f"{spec.kind} {spec.name}"
        table.add_column(shown, justify="right")
    for title, key, form in (
        ("agrees with the optimum", "overall", "{:.2%}"),
        ("  predicted type decides alone", "alone", "{:.2%}"),
        ("  misclassification must change the answer", "misled", "{:.2%}"),
        ("records silent: one that ATT&CK names", "silent", "{:.2%}"),
        ("divergence from softmax(promised / 0.25), nats", "kl", "{:.4f}"),
        ("mean probability of the optimum", "optimum", "{:.4f}"),
        ("calibration error", "calibration_error", "{:.4f}"),
        ("answered itself", "answered", "{:.2%}"),
        ("prompts/s, in batches", "prompts_per_second", "{:,.0f}"),
        ("seconds for one prompt, median", "latency_p50", "{:.4f}"),
        ("  99th percentile", "latency_p99", "{:.4f}"),
    ):
        values = [getattr(figures, key) for _, figures in found]
        table.add_row(title, *["-" if value is None else form.format(value) for value in values])
    return table


def _check_new(out: Path) -> None:
    """Long work must not end at a place that is taken or cannot be written to."""
    check_writable(out)
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise InputError(
            "is already there, and not an empty folder",
            where=str(out),
            mend="Give --out a new folder; a trained model is never replaced",
        )


for _name, _command, _example in (
    ("list", listed, "kirl advisor list"),
    ("eval", compare, "kirl advisor eval --advisor embedded --set advice.gpus=0 --json"),
    ("train", train, "kirl advisor train --out my-model --minutes 7 --seed 1"),
):
    app.command(_name, epilog=f"Example: {_example}")(_command)
