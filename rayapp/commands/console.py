"""What all commands share: where they print, how they show progress, how Ray is started."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rayapp.cluster import job, session

if TYPE_CHECKING:
    from llm_actor.advisor import Advisor
    from llm_actor.selection import AdvisorSpec

err = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""Progress and messages; results alone go to standard output."""

out = Console(highlight=False, markup=False, emoji=False)

_SECONDS_BETWEEN_LINES = 5.0

Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Ray cluster to work on (default: RAY_ADDRESS, which jobs have, else one of its own).",
    ),
]


def say(line: str) -> None:
    """Prints a line of progress."""
    err.print(line, soft_wrap=True)


def print_json(data: dict[str, Any]) -> None:
    """Prints one JSON object on one line."""
    print(json.dumps(data))


class Reporter:
    """Progress of one piece of work: a bar on a terminal, a line now and then elsewhere.

    Args:
        title: what is being done.
        unit: what is counted.
    """

    def __init__(self, title: str, unit: str) -> None:
        self._title, self._unit = title, unit
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=err,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=None, rate="", note="")
        self._begun = self._printed = time.perf_counter()
        self._first: int | None = None

    def __enter__(self) -> Reporter:
        if err.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if err.is_terminal:
            self._bar.stop()

    def show(self, done: int, total: int, note: str = "") -> None:
        """Reports that ``done`` of ``total`` units are done."""
        now = time.perf_counter()
        if self._first is None:
            self._first, self._begun = done, now
        elapsed = now - self._begun
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        shown = f"{shown} {self._unit}/s" if rate else ""
        if err.is_terminal:
            self._bar.update(self._task, completed=done, total=total, rate=shown, note=note)
        elif now - self._printed > _SECONDS_BETWEEN_LINES:
            self._printed = now
            left = f", {(total - done) / rate:,.0f} s left" if rate else ""
            line = f"{self._title}: {done:,} of {total:,} {self._unit}, {shown}{left} {note}"
            err.print(line.rstrip(), markup=False, soft_wrap=True)

    def __call__(self, done: int, total: int) -> None:
        """The same as :meth:`show`, in the form that readers and generators call."""
        self.show(done, total)


@contextlib.contextmanager
def working(title: str) -> Iterator[None]:
    """Shows that something without inner progress is going on, and how long it took."""
    begun = time.perf_counter()
    if err.is_terminal:
        with err.status(title):
            yield
    else:
        err.print(f"{title} ...")
        yield
    err.print(f"{title}: {time.perf_counter() - begun:.1f} s")


class _Said(logging.Handler):
    """Prints what language models have to say: where they run, what they wait for."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(record.getMessage(), markup=False, soft_wrap=True)


def hear_advisors() -> None:
    """From now on shows what the advisors' room says."""
    log = logging.getLogger("llm_actor")
    if not any(isinstance(handler, _Said) for handler in log.handlers):
        log.addHandler(_Said())
        log.setLevel(logging.INFO)


def loaded(spec: AdvisorSpec) -> Advisor:
    """An advisor of this process, built; says on what its language model computes, and why.

    Raises:
        InputError: the model or the template cannot be used.
    """
    from llm_actor.selection import build

    hear_advisors()
    if not spec.holds_model:
        return build(spec)
    with working(f"Loading {spec.name}"):
        built = build(spec)
    device = getattr(built, "device", "")
    reason = "this machine has no GPU" if device == "cpu" else "this machine has one"
    if spec.device != "auto":
        reason = f"its device is {spec.device}"
    shown = "CPU" if device == "cpu" else device
    err.print(f"{spec.name} runs on {shown}: {reason}", markup=False, soft_wrap=True)
    return built


def warn_of_template(spec: AdvisorSpec) -> None:
    """Says so where the small model reads prompts that it was not trained on."""
    if spec.kind == "embedded" and spec.other_template:
        err.print(
            "Warning: the embedded model was trained on the prompt template that ships with kirl; "
            f"with {spec.template} its advice may be poor.",
            markup=False,
            soft_wrap=True,
        )


def ray_session(address: str | None = None) -> contextlib.AbstractContextManager[str]:
    """Connects to Ray for the length of a command, see :func:`rayapp.cluster.session.ray_session`.

    Shows how long that takes, and what language models log meanwhile.
    """
    hear_advisors()
    return session.ray_session(address, announce=working)


def publish(dashboard: str, figures: Callable[[], dict[str, Any]]) -> None:
    """Leaves final figures as job metadata where this is a job; a failure is no one's loss.

    Args:
        dashboard: what :func:`ray_session` yields.
        figures: makes them, JSON-able by name.
    """
    inside = job.current()
    if inside is None:
        return
    try:
        name = job.publish(inside, dashboard, figures())
    except (RuntimeError, OSError) as error:
        # What is complete says the same; that is worth more than where it is said.
        err.print(f"Warning: the figures are no job metadata ({error}).", soft_wrap=True)
    else:
        err.print(f"Figures in the metadata of job {name}", soft_wrap=True)
