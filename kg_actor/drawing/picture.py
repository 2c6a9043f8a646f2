"""The picture of a sketch, in the manner of the paper's Fig. 2, as a matplotlib figure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import BoxStyle, FancyArrowPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from envs.errors import printable
from kg_actor.drawing.layout import SIZE, WIDTH, Point, places
from kg_actor.drawing.selection import Sketch, confusions_of, edges_of
from kg_actor.drawing.style import BACKGROUND, INK, percent, signed
from kg_actor.view import ACTION, EARNED, PREDICTS, SIGNATURE, TYPE

KIND_NAMES = {TYPE: "traffic type", ACTION: "mitigation action", SIGNATURE: "signature"}

_FILL = {TYPE: "#f4e36b", ACTION: "#bfe6d9", SIGNATURE: "#eecbdf"}
_LINE = {TYPE: "#8a7a00", ACTION: "#00795a", SIGNATURE: "#a34c80"}
_MARK = {TYPE: "o", ACTION: "s", SIGNATURE: "h"}
_NODE_INK = "#15181c"
_CONFUSED_LINE: dict[str, Any] = {"color": "#8b64b8", "linestyle": "--"}
_TAUGHT_DASHES = (0.0, (1.2, 1.4))
_LETTERS = {TYPE: (12, 3), ACTION: (32, 2), SIGNATURE: (7, 1)}  # per line, and lines
_REWARDS = LinearSegmentedColormap.from_list("rewards", ["#d55e00", "#9a9a9a", "#1f78b4"])
_FADED = 0.38
"""Opacity of what the filter of section III-C leaves out."""
_DPI, _FONT, _KEY_HEIGHT, _LINE_HEIGHT, _SHARES = 100, 8.5, 108, 17, 2


class Picture:
    """A sketch and its key as a figure, 960 pixels wide, with a caption below if one is given.

    Attributes:
        figure: its artists go by the ids in ``titles``.
        ids: of the nodes, by their names in the view: ``n0``, ``n1``, ... No name from data is
            ever an id.
        titles: what each node (``n0``), edge (``n0-n1``) and label of an edge
            (``n0-n1-label``) is, in words.
    """

    def __init__(self, part: Sketch, caption: str = "") -> None:
        self.ids = {name: f"n{i}" for i, name in enumerate(part.view)}
        self.titles: dict[str, str] = {}
        self._part, self._place, self._taken = part, places(part), list[tuple[Point, Point]]()
        self._share = Normalize(*part.rewards, clip=True)
        lines = textwrap.wrap(printable(caption), 140)
        low = min(y for _, y in self._place.values()) - SIZE[TYPE][1] / 2 - 16
        below = _KEY_HEIGHT + _LINE_HEIGHT * len(lines)
        self.figure = Figure(figsize=(WIDTH / _DPI, (below - 2 * low) / _DPI), dpi=_DPI)
        FigureCanvasAgg(self.figure)
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(-WIDTH / 2, WIDTH / 2), ylim=(low - below, -low))
        self._axes.axis("off")
        self._draw()
        _draw_key(self._axes, part, low)
        for i, line in enumerate(lines):
            at = (24 - WIDTH / 2, low - _KEY_HEIGHT - _LINE_HEIGHT * (i - 0.3))
            _write(self._axes, at, line, ha="left")

    def _draw(self) -> None:
        view = self._part.view
        for name, data in view.nodes(data=True):
            self._node(name, data["kind"], data["label"])
        for source, target, data in edges_of(view, PREDICTS):
            label = f"B {data['confidence']:.3f}"
            said = f"confidence {data['confidence']:.4f}, {data['seen']:,} flows"
            spots = self._along(source, target, (0.28, 0.34, 0.22))
            self._edge(source, target, said, label, spots, color=_LINE[SIGNATURE])
        met, bulge = confusions_of(view), 0.0
        for source, target in sorted(met, key=lambda ends: math.dist(*self._ends(*ends))):
            # Arcs on the left of the types, longer ones outside of shorter ones.
            long = math.dist(*self._ends(source, target))
            bulge = min(max(bulge + 14, 26 + 0.1 * long), 160)
            self._confused(source, target, met[source, target], bulge)
        for source, target, data in edges_of(view, EARNED):
            self._earned(source, target, data)

    def _node(self, name: str, kind: str, label: str) -> None:
        gid, faded = self.ids[name], name in self._part.refuted
        letters, lines = _LETTERS[kind]
        font = 7.5 if kind == TYPE and len(label) >= letters else _FONT
        look = {"facecolor": _FILL[kind], "edgecolor": _LINE[kind], "linewidth": 1.4}
        _write(
            self._axes,
            self._place[name],
            "\n".join(textwrap.wrap(printable(label), letters, max_lines=lines, placeholder="…")),
            # On a faded node the page shines through, so its text takes the page's ink.
            color=INK if faded else _NODE_INK,
            fontsize=font,
            gid=gid,
            zorder=5,
            bbox={"boxstyle": _outline(kind, font), "alpha": _FADED if faded else None} | look,
        )
        self.titles[gid] = f"{KIND_NAMES[kind]} {label}"
        self._taken.append((self._place[name], SIZE[kind]))

    def _confused(
        self, source: str, target: str, edges: list[dict[str, Any]], bulge: float
    ) -> None:
        bend = 2 * bulge / (self._place[source][1] - self._place[target][1])
        stops = sorted((i / 40 for i in range(4, 37)), key=lambda stop: abs(stop - 0.5))
        spots = self._along(source, target, stops, bend)
        shares = [f"sig {edge['signature']}: {percent(edge['share'])}" for edge in edges]
        few = shares[:_SHARES]
        if len(shares) > _SHARES:
            few[-1] = f"and {len(shares) - _SHARES + 1} more"
        self._edge(
            source,
            target,
            f"share of flows really of the other type, {', '.join(shares)}",
            "\n".join(few),
            [(x - aside, y) for aside in range(0, 97, 8) for x, y in spots],
            connectionstyle=f"arc3,rad={bend}",
            **_CONFUSED_LINE,
            linewidth=_thickness(sum(edge["count"] for edge in edges)),
        )

    def _earned(self, source: str, target: str, data: dict[str, Any]) -> None:
        part, mean = self._part, signed(data["mean_reward"])
        said = f"mean reward {mean}, {data['count']:,} flows"
        if data["sources"]:
            said += f", taught by {', '.join(data['sources'])}"
        if source == part.centre and target in part.expected:
            said += f"; on this signature's flows, {signed(part.expected[target])} is expected"
        self._edge(
            source,
            target,
            said,
            mean,
            self._along(source, target, [0.87 - 0.03 * i for i in range(22)]),
            color=to_hex(_REWARDS(float(self._share(data["mean_reward"])))),
            linewidth=_thickness(data["count"] + data["taught_weight"]),
            linestyle=_TAUGHT_DASHES if data["taught"] else "-",
            # Only the type in the middle leaves an action out; others may support it.
            alpha=_FADED if target in part.refuted and source == part.centre else None,
        )

    def _ends(self, source: str, target: str) -> tuple[Point, Point]:
        """Where an edge begins and ends: an action's are at the left side of its box."""
        x, y = self._place[target]
        action = self._part.view.nodes[target]["kind"] == ACTION
        return self._place[source], (x - SIZE[ACTION][0] / 2 if action else x, y)

    def _along(
        self, source: str, target: str, stops: Iterable[float], bend: float = 0.0
    ) -> list[Point]:
        """Points on the curve that matplotlib's ``arc3`` draws."""
        (x1, y1), (x2, y2) = self._ends(source, target)
        cx, cy = (x1 + x2) / 2 + bend * (y2 - y1), (y1 + y2) / 2 - bend * (x2 - x1)
        parts = [((1 - stop) ** 2, 2 * stop * (1 - stop), stop * stop) for stop in stops]
        return [(a * x1 + b * cx + c * x2, a * y1 + b * cy + c * y2) for a, b, c in parts]

    def _edge(
        self,
        source: str,
        target: str,
        said: str,
        label: str,
        spots: list[Point],
        **look: Any,  # noqa: ANN401 (matplotlib's own)
    ) -> None:
        """Draws an arrow, and its label where it covers the least of the others."""
        nodes = [self._part.view.nodes[name] for name in (source, target)]
        gid = f"{self.ids[source]}-{self.ids[target]}"
        title = f"{nodes[0]['label']} → {nodes[1]['label']}: {said}"
        self.titles |= {gid: title, f"{gid}-label": title}
        # Lines end at the outline of their nodes.
        shrink = [0 if n["kind"] == ACTION else SIZE[n["kind"]][0] / 2 * 72 / _DPI for n in nodes]
        arrow: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "zorder": 2, **look}
        arrow |= {"shrinkA": shrink[0], "shrinkB": shrink[1] + 1, "gid": gid}
        self._axes.add_patch(FancyArrowPatch(*self._ends(source, target), **arrow))
        box = {"boxstyle": "round,pad=0.12", "facecolor": BACKGROUND, "edgecolor": "none"}
        text = _write(self._axes, (0, 0), label, gid=f"{gid}-label", zorder=4, bbox=box)
        text.set_alpha(0.6 if look.get("alpha") else None)
        extent = text.get_window_extent()
        size = extent.width + 6, extent.height + 4
        best = min(spots, key=lambda at: _covered(at, size, self._taken))
        text.set_position(best)
        self._taken.append((best, size))


def _write(axes: Axes, at: Point, text: str, **style: Any) -> Text:  # noqa: ANN401
    """Text that is never read as mathematics: a name may hold a dollar sign."""
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "fontsize": _FONT}
    look |= style
    return axes.text(*at, text, parse_math=False, **look)


def _outline(kind: str, font: float) -> Callable[..., Path]:
    """A node's shape around its text, of one size whatever the text."""
    wide, high = SIZE[kind]
    shapes = {
        TYPE: Path.circle(radius=wide / 2),
        SIGNATURE: Path.unit_regular_polygon(6).transformed(Affine2D().scale(wide / 2)),
        ACTION: BoxStyle.Round(pad=0, rounding_size=5)(-wide / 2, -high / 2, wide, high, 1),
    }

    def around(x: float, y: float, width: float, height: float, pixels: float) -> Path:
        # The font's size in pixels tells the resolution that matplotlib draws in.
        scaled = Affine2D().scale(pixels / (font * _DPI / 72))
        return shapes[kind].transformed(scaled.translate(x + width / 2, y + height / 2))

    return around


def _covered(at: Point, size: Point, others: list[tuple[Point, Point]]) -> float:
    """How much of others, each a middle and a size, something of this size would cover."""

    def common(axis: int, middle: Point, other: Point) -> float:
        return max(0.0, (size[axis] + other[axis]) / 2 - abs(at[axis] - middle[axis]))

    return sum(common(0, *each) * common(1, *each) for each in others)


def _thickness(flows: float) -> float:
    """Width of an edge that so many flows made, in points."""
    return 0.7 + 0.4 * math.log10(max(flows, 1))


def _draw_key(axes: Axes, part: Sketch, top: float) -> None:
    entries: list[tuple[str, dict[str, Any]]] = [
        (name, {"marker": _MARK[kind], "ms": 9, "mfc": _FILL[kind], "mec": _LINE[kind], "ls": ""})
        for kind, name in KIND_NAMES.items()
    ]
    entries += [
        ("type to action: mean reward (width: how often)", {"color": _REWARDS(1.0)}),
        ("signature to predicted type: confidence B", {"color": _LINE[SIGNATURE]}),
        ("type to actual type: share of the signature's flows", _CONFUSED_LINE),
    ]
    taught = {by for *_, data in edges_of(part.view, EARNED) for by in data["sources"]}
    if taught:
        said = printable(f"dotted: taught, in part or whole, by {', '.join(sorted(taught))}")
        said = textwrap.shorten(said, 60, placeholder="…")
        entries.append((said, {"color": _REWARDS(1.0), "linestyle": _TAUGHT_DASHES}))
    if part.refuted:
        said = "faded: negative record, left out of the prompt"
        entries.append((said, {"color": _REWARDS(0.0), "alpha": _FADED}))
    low, high = (f"{reward:+} mean reward".replace("-", "−") for reward in part.rewards)
    for said, at in ((high, 1.0), ("halfway", 0.5), (low, 0.0)):
        entries.append((said, {"color": _REWARDS(at), "linewidth": 4}))
    legend = axes.legend(
        handles=[Line2D([], [], label=said, **look) for said, look in entries],
        ncols=3,
        loc="upper left",
        bbox_to_anchor=(10 - WIDTH / 2, top),
        bbox_transform=axes.transData,
        frameon=False,
        fontsize=_FONT,
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
