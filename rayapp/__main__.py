"""The command line: ``kirl``, or ``python -m rayapp``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

import typer

from envs import InputError
from rayapp.commands import advisor, bench, catalogue, console, graph, verdicts
from rayapp.commands.advise import advise
from rayapp.commands.datasets import datasets
from rayapp.commands.decide import decide
from rayapp.commands.demo import demo
from rayapp.commands.evaluate import evaluate_run
from rayapp.commands.online import online
from rayapp.commands.prepare import prepare
from rayapp.commands.reproduce import reproduce
from rayapp.commands.settings import settings
from rayapp.commands.train import train
from rayapp.commands.tune import tune

app = typer.Typer(
    help="Train, evaluate and explain policies that mitigate cyber threats, by knowledge-infused "
    "reinforcement learning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    # Flows were once called episodes; scripts that say so go on working.
    context_settings={"token_normalize_func": lambda name: "flows" if name == "episodes" else name},
)

_COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("demo", demo, "kirl demo --out demo"),
    ("prepare", prepare, "kirl prepare --data MachineLearningCVE/ --out scenario"),
    ("datasets", datasets, "kirl datasets cicids2017"),
    ("train", train, "kirl train --scenario scenario --algo ppo-kg --flows 4000000 --out run"),
    ("evaluate", evaluate_run, "kirl evaluate --run run --json"),
    ("decide", decide, "kirl decide --run run --data flows.parquet --out decisions.parquet"),
    ("tune", tune, "kirl tune --scenario scenario --out tuning --search model --trials 12"),
    ("reproduce", reproduce, "kirl reproduce --scenario scenario --out reproduction --quick"),
    ("online", online, "kirl online --scenario scenario --out online"),
    ("settings", settings, "kirl settings learning --algo ppo-kg"),
    ("advise", advise, "kirl advise --run run --signature 17 --advisor embedded"),
)
for _name, _command, _example in _COMMANDS:
    app.command(_name, epilog=f"Example: {_example}")(_command)
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(verdicts.app, name="verdicts")
app.add_typer(graph.app, name="graph")
app.add_typer(advisor.app, name="advisor")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Runs a command and ends the process. Bad input ends with one message and exit code 2."""
    try:
        app(standalone_mode=True)
        code = 0
    except InputError as error:
        console.err.print(f"kirl: {error}", markup=False, soft_wrap=True)
        code = 2
    except OSError as error:
        # What the system refuses (a name too long, a file that has gone) is no bug of ours.
        if error.filename is None:
            raise
        console.err.print(f"kirl: {error.filename}: {error.strerror}.", soft_wrap=True)
        code = 2
    except KeyboardInterrupt:
        console.err.print("Interrupted.")
        code = 130
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Arrow's threads now and then abort a process that is tearing itself down
    # (apache/arrow#34314). All work is done and Ray is shut down, so nothing is lost.
    os._exit(code)


if __name__ == "__main__":
    main()
