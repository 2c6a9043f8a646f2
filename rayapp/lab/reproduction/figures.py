"""The paper's Figs. 3, 4 and 5 from the trials: mean curves with a band, bars with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kg_actor.drawing.style import INK
from rayapp.lab.charts import BLUE, ORANGE, panels
from rayapp.lab.curves import closing_range, curve, reward_chart
from rayapp.lab.reproduction.plan import SYSTEMS, Preset
from rayapp.lab.reproduction.results import Results, SystemResult
from rayapp.lab.reproduction.systems import NAMES
from rayapp.lab.statistics import Estimate
from rayapp.lab.web import Chart


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the paper's.

    Attributes:
        name: of the file of its numbers.
        charts: one, or the whole and a closer view of it.
        numbers: what is drawn.
    """

    name: str
    charts: tuple[Chart, ...]
    numbers: pd.DataFrame


def figure_3(results: Results, preset: Preset) -> ReportFigure | None:
    """Training reward of PPO and of two constant weights of the KL term."""
    return _rewards(f"figure_3_{preset}", results.of(preset, "figure 3"))


def figure_4(results: Results, preset: Preset) -> ReportFigure | None:
    """Training reward of PPO and of PPO-KG with annealed lambda."""
    main = results.of(preset, "main")
    chosen: dict[str, SystemResult] = {
        name: main[name] for name in ("ppo", "ppo-kg") if name in main
    }
    return _rewards(f"figure_4_{preset}", chosen)


def _rewards(name: str, systems: Mapping[str, SystemResult]) -> ReportFigure | None:
    """Curves over the whole range of rewards, and closer to where they end."""
    curves = {
        system: curve([trial.lines for trial in result.trials])
        for system, result in systems.items()
        if all(trial.lines for trial in result.trials)
    }
    if not curves:
        return None
    shown = {NAMES.get(system, system): points for system, points in curves.items()}
    low, high = closing_range(curves)
    several = any(len(system.trials) > 1 for system in systems.values())
    band = "; the band spans the trials" if several else ""
    whole = f"Average reward while training, exploration included{band}."
    close = f"The same closer, from {low:.2f} to {high:.2f}: the second half of training."
    return ReportFigure(
        name,
        (
            Chart(name, reward_chart(shown), whole),
            Chart(f"{name}_close", reward_chart(shown, (low, high)), close),
        ),
        pd.concat(curves, names=["system"]).reset_index(level="system"),
    )


def figure_5(results: Results, preset: Preset) -> ReportFigure | None:
    """Share of correct actions where detection was right and where it was wrong."""
    main = results.of(preset, "main")
    shares = {name: correct_actions(main[name]) for name in SYSTEMS if name in main}
    if not shares:
        return None
    rows = [
        (name, detection, *((one.mean, one.low, one.high) if one else (None,) * 3))
        for name, pair in shares.items()
        for detection, one in zip(("right", "wrong"), pair, strict=True)
    ]
    name = f"figure_5_{preset}"
    caption = (
        "Share of flows that got the best action of their true class, by whether the detector was "
        "right about them."
    )
    return ReportFigure(
        name,
        (Chart(name, _bars(shares), caption),),
        pd.DataFrame(rows, columns=["system", "detection", "mean", "low", "high"]),
    )


def correct_actions(system: SystemResult) -> tuple[Estimate | None, Estimate | None]:
    """Shares of correct actions where detection was right, and where it was wrong."""
    return (
        system.estimate(lambda card: card.correct_action.detected_correctly),
        system.estimate(lambda card: card.correct_action.misdetected),
    )


def _bars(shares: Mapping[str, Sequence[Estimate | None]]) -> Figure:
    figure, (axes,) = panels(1, 1, 4.6, 0.4 + 0.62 * len(shares))
    for row, pair in enumerate(shares.values()):
        for offset, colour, share in zip((-0.19, 0.19), (BLUE, ORANGE), pair, strict=True):
            if share is None:
                axes.text(0.01, row + offset, "no such flows", va="center", fontsize=8, color=INK)
                continue
            axes.barh(row + offset, share.mean, 0.36, color=colour)
            end = share.mean
            if share.low is not None and share.high is not None:
                axes.plot([share.low, share.high], [row + offset] * 2, color=INK, linewidth=1.2)
                end = max(share.high, end)
            label = f"{100 * share.mean:.1f} %"
            axes.text(end + 0.015, row + offset, label, va="center", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(shares)), [NAMES.get(name, name) for name in shares])
    axes.invert_yaxis()
    # Room for a figure behind a bar that reaches the end.
    axes.set_xlim(0, 1.16)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    handles = [axes.barh(0, 0, color=colour) for colour in (BLUE, ORANGE)]
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
