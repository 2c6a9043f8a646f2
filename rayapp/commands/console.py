"""What commands share: printing, showing progress, and starting Ray."""

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
from rich.text import Text

from envs.errors import printable
from rayapp.cluster import job, session

if TYPE_CHECKING:
    from llm_actor.advisor import Advisor
    from llm_actor.selection import AdvisorSpec


class _PrintableConsole(Console):
    """Spells out control characters: names of files and columns may come from anyone."""

    def render_str(self, text: str, **style: Any) -> Text:  # noqa: ANN401 (rich's options)
        return super().render_str("\n".join(map(printable, text.split("\n"))), **style)


err = _PrintableConsole(stderr=True, highlight=False, markup=False, emoji=False)
"""Progress and messages; results alone go to standard output."""

out = _PrintableConsole(highlight=False, markup=False, emoji=False)

_SECONDS_BETWEEN_LINES = 5.0

Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Use the Ray cluster at this address (default: RAY_ADDRESS, or else start Ray here).",
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
        title: what is being done, such as ``Training``.
        unit: what is counted, such as ``flows``.
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
        """Shows that ``done`` of ``total`` units are done."""
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
    """Shows a title while the block runs, and then how many seconds it took."""
    begun = time.perf_counter()
    if err.is_terminal:
        with err.status(title):
            yield
    else:
        err.print(f"{title} ...")
        yield
    err.print(f"{title}: {time.perf_counter() - begun:.1f} s")


class _Said(logging.Handler):
    """Prints log messages of llm_actor: where language models run, what they wait for."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(record.getMessage(), markup=False, soft_wrap=True)


def hear_advisors() -> None:
    """Prints log messages of llm_actor from now on."""
    log = logging.getLogger("llm_actor")
    if not any(isinstance(handler, _Said) for handler in log.handlers):
        log.addHandler(_Said())
        log.setLevel(logging.INFO)


def loaded(spec: AdvisorSpec) -> Advisor:
    """An advisor in this process. Prints whether its model runs on a GPU or CPU, and why.

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
    if spec.device not in (None, "auto"):
        reason = f"its device is {spec.device}"
    shown = "CPU" if device == "cpu" else device
    err.print(f"{spec.name} runs on {shown}: {reason}", markup=False, soft_wrap=True)
    return built


def warn_of_template(spec: AdvisorSpec) -> None:
    """Warns if the embedded model would read prompts of a template it was not trained on."""
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
    """Writes final figures to the Ray job's metadata, if this is a job; a failure only warns.

    Args:
        dashboard: what :func:`ray_session` yields.
        figures: called to make them; JSON-able values by name.
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
