"""``kirl settings``: what ``--set`` and ``--config`` take, and what it means."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, cast

import typer
from pydantic import BaseModel
from rich.table import Table

from envs import InputError
from rayapp import algorithms, config
from rayapp.algorithms import Algorithm
from rayapp.commands import console
from rayapp.learning import Settings


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: its name as ``--set`` takes it, such as ``kl.start``.
        default: as YAML has it.
        about: what it does.
    """

    key: str
    default: str
    about: str


def settings(
    group: Annotated[
        str | None,
        typer.Argument(help="Show this group alone, such as learning, kl or advice."),
    ] = None,
    algo: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Show what this algorithm has (default ppo-kg)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List algorithms and the settings of one: each setting's default, and what it does."""
    algorithm = algorithms.find(algo) if algo else _usual(group)
    groups = groups_of(algorithm)
    if group is not None:
        if group not in groups:
            raise InputError(
                f"{algorithm.name} has no group of settings called {group!r}",
                expected=f"one of {', '.join(name for name in groups if name)}",
                mend="kirl settings --algo NAME shows what an algorithm has",
            )
        groups = {group: groups[group]}
    by_group = {name: list(_settings_in(name, model)) for name, model in groups.items()}
    known = {} if group else {name: algorithms.find(name).about for name in algorithms.names()}
    if as_json:
        console.print_json(
            {
                "algorithms": known,
                "groups": {name: _about(model) for name, model in groups.items()},
                "settings": [asdict(one) for rows in by_group.values() for one in rows],
            }
        )
        return
    if known:
        table = Table("algorithm", "what it does", title="Algorithms", title_justify="left")
        for name, about in known.items():
            table.add_row(name, about)
        console.out.print(table)
    for name, rows in by_group.items():
        console.out.print(_table(name, _about(groups[name]), rows))


def _usual(group: str | None) -> Algorithm:
    """ppo-kg, or another one where that has no use for a group."""
    usual = algorithms.find("ppo-kg")
    having = (one for one in algorithms.BUILT_IN.values() if group in groups_of(one))
    return usual if group is None or group in groups_of(usual) else next(having, usual)


def groups_of(algorithm: Algorithm) -> dict[str, type[BaseModel]]:
    """Models of the groups that an algorithm has; "" has the settings outside of groups."""
    return {
        name: model
        for name, model in config.models_of(algorithm).items()
        if "." not in name and (name in algorithm.uses or name not in config.CHOSEN_GROUPS)
    }


def _about(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").splitlines()[0]


def _settings_in(group: str, model: type[BaseModel]) -> Iterator[Setting]:
    prefix = f"{group}." if group else ""
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            # At the top stand the groups themselves, which are listed one by one.
            yield from _settings_in(prefix + name, type(default)) if group else ()
        elif name != "learning":
            shown = list(default) if isinstance(default, tuple) else default
            yield Setting(prefix + name, "null" if shown is None else str(shown), meanings[name])


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The strings below a model's fields, without markup.

    Pydantic reads them as well, but on every start of every command.
    """
    meanings = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, Settings):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        for field, text in itertools.pairwise(cast(ast.ClassDef, definition).body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(about))):
                    plain = about.replace("``None``", "null").replace("``", "")
                    meanings[name] = " ".join(plain.split())
    return meanings


def _table(group: str, title: str, rows: list[Setting]) -> Table:
    heading = f"{group}: {title}" if group else title
    table = Table(title=heading, title_justify="left")
    for name in ("setting", "default", "what it does"):
        table.add_column(name, overflow="fold")
    for one in rows:
        table.add_row(one.key, one.default, one.about)
    return table
