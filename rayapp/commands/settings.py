"""``kirl settings``: what ``--set`` and ``--config`` take, and what it means."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from envs import InputError
from rayapp import config
from rayapp.commands import console


def settings(
    group: Annotated[
        str | None, typer.Argument(help="One group alone, such as ppo, kl or advice.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List every setting of a training, its default and what it means."""
    groups, wanted = config.groups(), config.described()
    if group is not None:
        if group not in groups:
            raise InputError(
                f"no settings are called {group!r}",
                expected=f"one of {', '.join(name for name in groups if name)}",
                mend="kirl settings shows them all",
            )
        groups = {group: groups[group]}
        wanted = [one for one in wanted if _group(one) == group]
    if as_json:
        console.print_json({"groups": groups, "settings": [asdict(one) for one in wanted]})
        return
    for name, about in groups.items():
        console.out.print(_table(about, [one for one in wanted if _group(one) == name]))


def _group(setting: config.Setting) -> str:
    return setting.key.rpartition(".")[0].partition(".")[0]


def _table(title: str, rows: list[config.Setting]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("setting", "default", "meaning"):
        table.add_column(name, overflow="fold")
    for one in rows:
        table.add_row(one.key, one.default, one.about)
    return table
