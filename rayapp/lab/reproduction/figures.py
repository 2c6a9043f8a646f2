"""The paper's Figs. 3, 4 and 5 from the trials: mean curves with a band, bars with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from kg_actor.drawing.style import BACKGROUND, INK
from rayapp.lab.curves import LOOKS, flow_axes
from rayapp.lab.reproduction.data import ESTIMATE, Data, estimated
from rayapp.lab.reproduction.plan import SYSTEMS, Label
from rayapp.lab.reproduction.results import Results, SystemResult, TrialResult
from rayapp.lab.reproduction.systems import shown
from rayapp.lab.statistics import Estimate

POINTS = 250
"""Of a curve at most: neighbouring iterations are averaged, as more cannot be seen."""

_RIGHT, _WRONG = "#2f7fc1", "#d9772b"


@dataclass(frozen=True)
class Curve:
    """Training reward by flows, over trials.

    Attributes:
        flows: trained on.
        mean, low, high: over trials, of their average reward: mean, lowest and highest.
    """

    flows: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """A figure of the page.

    Attributes:
        name: of its files, and unique on the page.
        figure: itself.
        caption: below it.
        data: its numbers.
    """

    name: str
    figure: Figure
    caption: str
    data: Data


def curve(trials: Sequence[TrialResult], points: int = POINTS) -> Curve:
    """The curve of trials; those on fewer iterations than others end it."""
    length = min(len(trial.lines) for trial in trials)
    rewards = np.array([[line.average_reward for line in t.lines[:length]] for t in trials])
    flows = np.array([line.flows for line in trials[0].lines[:length]], np.float64)
    starts = np.arange(0, length, -(-length // points))
    sizes = np.diff(np.append(starts, length))
    thin = np.add.reduceat(rewards, starts, axis=1) / sizes
    # A point stands at the end of the iterations that it averages, as an iteration does.
    ends = flows[starts + sizes - 1]
    return Curve(ends, thin.mean(axis=0), thin.min(axis=0), thin.max(axis=0))


def figure_3(results: Results, label: Label) -> list[Drawn]:
    """Training reward of PPO and of two constant weights of the KL term."""
    curves = _curves(results.of(label, "figure 3"))
    return _twice(f"figure_3_{label}", curves) if curves else []


def figure_4(results: Results, label: Label) -> list[Drawn]:
    """Training reward of PPO and of PPO-KG with annealed lambda."""
    main = results.of(label, "main")
    curves = _curves({name: main[name] for name in ("ppo", "ppo-kg") if name in main})
    return _twice(f"figure_4_{label}", curves) if curves else []


def figure_5(results: Results, label: Label) -> Drawn | None:
    """Share of correct actions where detection was right and where it was wrong."""
    main = results.of(label, "main")
    systems = {name: main[name] for name in SYSTEMS if name in main}
    if not systems:
        return None
    shares = {name: correct_actions(system) for name, system in systems.items()}
    name = f"figure_5_{label}"
    rows = tuple(
        (system, detection, *estimated(share))
        for system, pair in shares.items()
        for detection, share in zip(("right", "wrong"), pair, strict=True)
    )
    return Drawn(
        name,
        _bars(shares),
        "Share of flows that got the best action of their true class, by whether the detector was "
        "right about them.",
        Data(name, ("system", "detection", *ESTIMATE), rows),
    )


def correct_actions(system: SystemResult) -> tuple[Estimate | None, Estimate | None]:
    """Shares of correct actions where detection was right, and where it was wrong."""
    return (
        system.estimate(lambda card: card.correct_action.detected_correctly),
        system.estimate(lambda card: card.correct_action.misdetected),
    )


def _curves(systems: Mapping[str, SystemResult]) -> dict[str, Curve]:
    return {
        name: curve(system.trials)
        for name, system in systems.items()
        if all(trial.lines for trial in system.trials)
    }


def _twice(name: str, curves: Mapping[str, Curve]) -> list[Drawn]:
    """A figure over the whole range of rewards, and the same closer to where curves end."""
    rows = tuple(
        (system, int(flows), mean, low, high)
        for system, c in curves.items()
        for flows, mean, low, high in zip(
            c.flows.tolist(), c.mean.tolist(), c.low.tolist(), c.high.tolist(), strict=True
        )
    )
    data = Data(name, ("system", "flows", "mean", "lowest", "highest"), rows)
    bottom, top = closing_range(list(curves.values()))
    whole = "Average reward while training, exploration included; the band spans the trials."
    close = f"The same closer, from {bottom:.2f} to {top:.2f}: the second half of training."
    return [
        Drawn(name, _lines(curves), whole, data),
        Drawn(f"{name}_close", _lines(curves, (bottom, top)), close.replace("-", "−"), data),
    ]


def closing_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """What the curves' means span in the second half of training, with a margin."""
    late = np.concatenate([c.mean[len(c.mean) // 2 :] for c in curves])
    margin = max(0.1 * float(np.ptp(late)), 5e-3)
    return float(late.min()) - margin, float(late.max()) + margin


def _lines(curves: Mapping[str, Curve], limits: tuple[float, float] | None = None) -> Figure:
    figure, axes = flow_axes(4.6, 3.0)
    for number, (name, c) in enumerate(curves.items()):
        colour, dashes = LOOKS[number % len(LOOKS)]
        axes.fill_between(c.flows, c.low, c.high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            c.flows,
            c.mean,
            color=colour,
            linestyle=dashes,
            linewidth=1.7,
            marker="o" if len(c.flows) < 3 else None,
            label=shown(name),
        )
    axes.set_xlim(left=0)
    if limits:
        axes.set_ylim(*limits)
    axes.set_ylabel("average reward", color=INK)
    # Above the axes: inside there is no corner that no curve ever crosses.
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 0.98),
        ncols=len(curves),
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )
    return figure


def _bars(shares: Mapping[str, tuple[Estimate | None, Estimate | None]]) -> Figure:
    figure = Figure(
        figsize=(4.6, 0.4 + 0.62 * len(shares)), facecolor=BACKGROUND, layout="constrained"
    )
    axes = figure.add_subplot()
    axes.set_facecolor(BACKGROUND)
    for row, pair in enumerate(shares.values()):
        for offset, colour, share in zip((-0.19, 0.19), (_RIGHT, _WRONG), pair, strict=True):
            if share is None:
                axes.text(0.01, row + offset, "no such flows", va="center", fontsize=8, color=INK)
                continue
            axes.barh(row + offset, share.mean, 0.36, color=colour)
            if share.low < share.high:
                axes.plot([share.low, share.high], [row + offset] * 2, color=INK, linewidth=1.2)
            place = max(share.high, share.mean) + 0.015
            text = f"{100 * share.mean:.1f} %"
            axes.text(place, row + offset, text, va="center", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(shares)), [shown(name) for name in shares])
    axes.invert_yaxis()
    # Room for a figure behind a bar that reaches the end.
    axes.set_xlim(0, 1.16)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.tick_params(axis="y", length=0)
    handles = [axes.barh(0, 0, color=colour) for colour in (_RIGHT, _WRONG)]
    axes.legend(
        handles,
        ["detection right", "detection wrong"],
        loc="lower right",
        bbox_to_anchor=(1, 0.98),
        ncols=2,
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )
    return figure
