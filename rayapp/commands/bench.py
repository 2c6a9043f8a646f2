"""``kirl bench``: speed and size, measured on this machine; a file per subcommand."""

from __future__ import annotations

from collections.abc import Callable

import typer

from rayapp.commands.bench_advisor import advisor
from rayapp.commands.bench_chaos import chaos
from rayapp.commands.bench_decisions import decisions
from rayapp.commands.bench_graph import graph
from rayapp.commands.bench_guard import guard
from rayapp.commands.bench_prepare import prepare
from rayapp.commands.bench_profile import profile
from rayapp.commands.bench_scaling import scaling
from rayapp.commands.bench_train import train

app = typer.Typer(help="Measure speed and size on this machine.", no_args_is_help=True)

_COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("train", train, "kirl bench train --scenario scenario --json"),
    ("guard", guard, "kirl bench guard --json"),
    ("profile", profile, "kirl bench profile --flows 1000000"),
    ("scaling", scaling, "kirl bench scaling --out scaling.svg"),
    ("prepare", prepare, "kirl bench prepare --rows 300000"),
    ("decisions", decisions, "kirl bench decisions --scenario scenario --json"),
    ("graph", graph, "kirl bench graph --json --out growth.svg"),
    ("advisor", advisor, "kirl bench advisor --config phi-3.5 --random-weights"),
    ("chaos", chaos, "kirl bench chaos --minutes 5 --json"),
)
for _name, _command, _example in _COMMANDS:
    app.command(_name, epilog=f"Example: {_example}")(_command)
