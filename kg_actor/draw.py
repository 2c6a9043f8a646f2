"""The knowledge graph as a picture, in the manner of the paper's Fig. 2.

Traffic types stand on the middle ring, mitigation actions outside, a few signatures
inside. A whole graph has about a thousand signatures, so this file also decides which
ones are worth drawing and says what was left out. It reads the networkx view and knows
neither how the graph is stored nor where the picture is shown. It needs matplotlib, so
``kg_actor`` itself does not import it.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch, RegularPolygon
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from envs.catalogue import MISS_REWARD, TOP_REWARD
from envs.files import replacing
from kg_actor.graph import KnowledgeGraph, counters_of
from kg_actor.view import ACTION, CONFUSED, EARNED, PREDICTS, SIGNATURE, TYPE, to_networkx

View = nx.MultiDiGraph  # what to_networkx returns; its type parameter exists for checkers only

INK, PAPER = "#1b1f25", "#fdfefe"
"""Text and background. Inlined SVG takes them from the page instead, light or dark."""

_WIDTH, _HEIGHT, _KEY_HEIGHT = 1100, 940, 64
_RINGS = {ACTION: (470.0, 430.0), TYPE: (312.0, 292.0), SIGNATURE: (188.0, 186.0)}
_FILL = {TYPE: "#f4e36b", ACTION: "#bfe6d9", SIGNATURE: "#eecbdf"}
_LINE = {TYPE: "#8a7a00", ACTION: "#00795a", SIGNATURE: "#a34c80"}
_NODE_INK, _CONFUSED_LINE = "#15181c", "#8b64b8"
_TYPE_RADIUS, _SIGNATURE_RADIUS, _ACTION_SIZE = 41.0, 23.0, (132.0, 23.0)
_REWARD_COLOURS = LinearSegmentedColormap.from_list("reward", ["#d55e00", "#9a9a9a", "#1f78b4"])
_LINES_PER_LABEL = 3
_STOPS = (0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.74, 0.26)
_BENDS = (0.0, 0.14, -0.14, 0.26, -0.26, 0.38, -0.38)
_CLEARANCE = 52.0
_RESTARTS = 8

Point = tuple[float, float]


@dataclass(frozen=True)
class Sketch:
    """The part of a graph that is drawn.

    Attributes:
        view: nodes and edges drawn; a subset of :func:`kg_actor.to_networkx`.
        caption: one or two sentences: what is drawn and what was left out.
    """

    view: View[str]
    caption: str


class _Label(NamedTuple):
    """Text for an edge, and the points where it may stand, best first."""

    text: str
    places: list[Point]
    size: float


def salient(graph: KnowledgeGraph, signatures: int = 12) -> list[int]:
    """The signatures that tell most: those with the most misdetected flows.

    Where fewer than ``signatures`` have any, those with the most flows follow, taking turns
    between the predicted types.

    Args:
        graph: the graph.
        signatures: how many at most; only signatures that have matched a flow count.
    """
    counters = counters_of(graph.counts(), graph.predicted, graph.prior)
    seen, wrong = counters.seen, counters.seen - counters.correct
    place: dict[int, int] = {}
    met: dict[int, int] = defaultdict(int)
    for signature in np.argsort(-seen, kind="stable").tolist():
        predicted = int(graph.predicted[signature])
        place[signature] = met[predicted]
        met[predicted] += 1
    candidates = np.flatnonzero(seen).tolist()
    candidates.sort(key=lambda i: (-wrong[i], place[i] if wrong[i] == 0 else 0, -seen[i], i))
    return [int(signature) for signature in candidates[:signatures]]


def sketch(graph: KnowledgeGraph, signatures: int = 12, actions: int = 3) -> Sketch:
    """Chooses what to draw of a graph.

    Args:
        graph: the graph.
        signatures: how many of the most telling signatures.
        actions: how many actions per type, those of highest mean reward.
    """
    whole = to_networkx(graph)
    view: View[str] = whole.copy()
    chosen = {f"signature:{i}" for i in salient(graph, signatures)}
    names = _nodes(view, SIGNATURE)
    view.remove_nodes_from([name for name in names if name not in chosen])
    dropped: list[tuple[str, str, Any]] = []
    earned: Counter[str] = Counter()
    for source, target, key, data in view.edges(keys=True, data=True):
        # The view adds a type's actions best first, and networkx keeps that order.
        earned[source] += data["kind"] == EARNED
        late = data["kind"] == EARNED and earned[source] > actions
        if late or (data["kind"] == CONFUSED and key not in chosen):
            dropped.append((source, target, key))
    view.remove_edges_from(dropped)
    view.remove_nodes_from([name for name in _nodes(view, ACTION) if not view.degree(name)])
    return Sketch(view, _caption(whole, view, actions))


def draw(graph: KnowledgeGraph, path: Path, *, signatures: int = 12, actions: int = 3) -> Path:
    """Draws a graph, with its caption, to a file.

    Args:
        graph: the graph.
        path: ends in ``.svg`` or ``.png`` (1,100 pixels wide, twice that in dots).
        signatures: how many of the most telling signatures to draw.
        actions: how many actions per type to draw.

    Raises:
        ValueError: another suffix.
        InputError: the file cannot be written.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in {"svg", "png"}:
        raise ValueError(f"{path.name!r} ends neither in .svg nor in .png")
    part = sketch(graph, signatures, actions)
    content = _saved(figure(part.view, part.caption), kind, path.stem)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def inline_svg(content: Figure, name: str, label: str) -> str:
    """A figure as an ``<svg>`` element to put into an HTML page.

    Text stays text; :data:`INK` becomes the page's ``currentColor`` and :data:`PAPER` its CSS
    variable ``--paper``, so that one picture serves light and dark pages.

    Args:
        content: any matplotlib figure.
        name: makes the element's ids unique within the page.
        label: what a screen reader says.
    """
    text = _saved(content, "svg", name).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    # Without a size of its own it takes the page's; its viewBox keeps the proportions.
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace(INK, "currentColor").replace(PAPER, f"var(--paper, {PAPER})")
    head = f'<svg role="img" aria-label="{escape(label)}"'
    return text.replace("<svg", head, 1).strip()


def figure(view: View[str], caption: str | None = None) -> Figure:
    """The picture of a view, 1,100 pixels wide.

    Args:
        view: nodes and edges as :func:`kg_actor.to_networkx` makes them, few enough to read.
        caption: set below the picture, if given.
    """
    lines = _wrap(caption, 150) if caption else []
    below = _KEY_HEIGHT + 17 * len(lines) + (20 if lines else 0)
    result = Figure(figsize=(_WIDTH / 100, (_HEIGHT + below) / 100), dpi=100, facecolor=PAPER)
    FigureCanvasAgg(result)
    axes = result.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-_WIDTH / 2, _WIDTH / 2), ylim=(-_HEIGHT / 2 - below, _HEIGHT / 2))
    axes.axis("off")
    places = _layout(view)
    patches: dict[str, Patch] = {}
    for name, data in view.nodes(data=True):
        gid = f"node-{data['kind']}-{len(patches)}"
        patches[name] = _node(axes, gid, data["kind"], data["label"], places[name])
    _place_labels(axes, list(patches.values()), _edges(axes, view, places, patches))
    _key(axes, -_HEIGHT / 2 - 14)
    for i, line in enumerate(lines):
        low = -_HEIGHT / 2 - _KEY_HEIGHT - 18 - 17 * i
        _text(axes, (-_WIDTH / 2 + 30, low), line, 8.5, ha="left")
    return result


def _nodes(view: View[str], kind: str) -> list[str]:
    return [name for name, data in view.nodes(data=True) if data["kind"] == kind]


def _caption(whole: View[str], view: View[str], actions: int) -> str:
    def number(graph: View[str], kind: str) -> int:
        return sum(data["kind"] == kind for *_, data in graph.edges(data=True))

    seen, shown = len(_nodes(whole, SIGNATURE)), len(_nodes(view, SIGNATURE))
    erring = sum(
        data["kind"] == PREDICTS and data["correct"] < data["seen"]
        for *_, data in view.edges(data=True)
    )
    which = "those with the most flows, type by type"
    if erring:
        which = "those with the most misdetected flows"
        which += f" ({erring:,}), then those with the most flows" if erring < shown else ""
    earned, confused = number(whole, EARNED), number(whole, CONFUSED)
    left = [
        f"{seen - shown:,} signatures",
        f"{earned - number(view, EARNED):,} of {earned:,} type to action edges",
    ]
    end = "No flow in this graph was misdetected."
    if confused:
        end = f"{confused - number(view, CONFUSED):,} of {confused:,} misdetection edges."
    return (
        f"Drawn: {shown:,} of {seen:,} signatures, {which}, and of each type at most {actions} "
        f"actions, those of highest mean reward. Left out: "
        + (f"{', '.join(left)} and {end}" if confused else f"{' and '.join(left)}. {end}")
    )


def _layout(view: View[str]) -> dict[str, Point]:
    """Types and actions stand where their edges are short, signatures inside of their type."""
    predicts = {a: b for a, b, data in view.edges(data=True) if data["kind"] == PREDICTS}
    turn = _shorten(view, list(predicts.values()))
    turn |= _spread({name: turn[of] for name, of in predicts.items()})
    places = {}
    for name, data in view.nodes(data=True):
        wide, high = _RINGS[data["kind"]]
        places[name] = (wide * math.sin(turn[name]), high * math.cos(turn[name]))
    return places


def _shorten(view: View[str], predicted: list[str]) -> dict[str, float]:
    """Angles on the two outer rings at which the type to action edges are short.

    A type takes the more of its ring the more signatures stand at it.
    """
    types, actions = _nodes(view, TYPE), _nodes(view, ACTION)
    edges = [(a, b) for a, b, data in view.edges(data=True) if data["kind"] == EARNED]
    room = {name: 1 + 0.5 * predicted.count(name) for name in types} | dict.fromkeys(actions, 1.0)

    def angles(rings: list[list[str]]) -> dict[str, float]:
        return {
            name: 2 * math.pi * (end - room[name] / 2) / sum(room[other] for other in ring)
            for ring in rings
            for name, end in zip(ring, itertools.accumulate(room[n] for n in ring), strict=True)
        }

    def length(rings: list[list[str]]) -> float:
        turn = angles(rings)
        return sum(math.sin((turn[a] - turn[b]) / 2) ** 4 for a, b in edges)

    rng = np.random.default_rng(0)
    starts = [[types, actions]]
    starts += [[rng.permutation(r).tolist() for r in starts[0]] for _ in range(_RESTARTS)]
    return angles(min((_swapped(start, length) for start in starts), key=length))


def _swapped(rings: list[list[str]], length: Callable[[list[list[str]]], float]) -> list[list[str]]:
    """Swaps places within the rings for as long as that shortens the edges."""
    best, improved = length(rings), True
    while improved:
        improved = False
        for ring in rings:
            for i, j in itertools.combinations(range(len(ring)), 2):
                ring[i], ring[j] = ring[j], ring[i]
                if (now := length(rings)) < best - 1e-9:
                    best, improved = now, True
                else:
                    ring[i], ring[j] = ring[j], ring[i]
    return rings


def _spread(wished: dict[str, float]) -> dict[str, float]:
    """Angles near the wished ones, but far enough from each other to be told apart."""
    gap = min(0.3, 2 * math.pi / max(len(wished), 1))
    names = sorted(wished, key=lambda name: wished[name])
    turn = np.array([wished[name] for name in names], dtype=float)
    for _ in range(200):
        ahead = np.roll(turn, -1) - turn
        if len(turn):
            ahead[-1] += 2 * math.pi
        push = np.maximum(0.0, gap - ahead) / 2 if len(turn) > 1 else np.zeros(len(turn))
        turn = turn - push + np.roll(push, 1)
    return dict(zip(names, turn.tolist(), strict=True))


def _node(axes: Axes, gid: str, kind: str, label: str, at: Point) -> Patch:
    style: dict[str, Any] = {
        "facecolor": _FILL[kind],
        "edgecolor": _LINE[kind],
        "linewidth": 1.4,
        "zorder": 5,
    }
    patch: Patch
    lines = [label]
    if kind == TYPE:
        patch = Circle(at, _TYPE_RADIUS, **style)
    elif kind == SIGNATURE:
        patch = RegularPolygon(at, 6, radius=_SIGNATURE_RADIUS, **style)
    else:
        lines = _wrap(label, 18)
        wide, high = _ACTION_SIZE[0], _ACTION_SIZE[1] + 14 * (len(lines) - 1)
        corner = (at[0] - wide / 2, at[1] - high / 2)
        patch = FancyBboxPatch(corner, wide, high, boxstyle="round,pad=0,rounding_size=5", **style)
    patch.set_gid(gid)
    axes.add_patch(patch)
    for i, line in enumerate(lines):
        y = at[1] + 14 * ((len(lines) - 1) / 2 - i)
        size = 8.5 if len(line) < 14 or kind == ACTION else 7
        _text(axes, (at[0], y), line, size, color=_NODE_INK, zorder=6)
    return patch


def _edges(
    axes: Axes, view: View[str], places: dict[str, Point], patches: dict[str, Patch]
) -> list[_Label]:
    """Draws all edges; the labels are for later, when it is known where there is room."""
    labels = []
    confused: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for source, target, data in view.edges(data=True):
        ends, tips = (places[source], places[target]), (patches[source], patches[target])
        if data["kind"] == CONFUSED:
            confused[source, target].append(data)
        elif data["kind"] == EARNED:
            colour, bend = _reward_colour(data["mean_reward"]), _bend(*ends, places, _BENDS)
            _arrow(axes, ends, tips, bend, colour, _thickness(data["count"]))
            labels.append(_Label(_signed(data["mean_reward"]), _along(*ends, bend, _STOPS), 7.5))
        else:
            _arrow(axes, ends, tips, 0.0, _LINE[SIGNATURE], 1.2)
            spots = _along(*ends, 0.0, (0.42, 0.5, 0.36), (0.0, 14, -14, 22, -22))
            labels.append(_Label(f"B {data['confidence']:.3f}", spots, 7.5))
    for (source, target), met in confused.items():
        # Always to the same side of its direction, so that two opposite edges stay apart.
        ends = places[source], places[target]
        bend = _bend(*ends, places, _BENDS[1::2])
        width = _thickness(sum(data["count"] for data in met))
        _arrow(axes, ends, (patches[source], patches[target]), bend, _CONFUSED_LINE, width, "--")
        spots = _along(*ends, bend, _STOPS, (0.0, 14, -14, 28, -28))
        labels.append(_Label(_confusions(met), spots, 7.5))
    return labels


def _confusions(met: list[dict[str, Any]]) -> str:
    met = sorted(met, key=lambda data: -data["count"])
    lines = [f"sig {data['signature']}: {_percent(data['share'])}" for data in met]
    if len(lines) > _LINES_PER_LABEL:
        more = len(lines) - _LINES_PER_LABEL + 1
        lines[_LINES_PER_LABEL - 1 :] = [f"and {more} more"]
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"


def _signed(reward: float) -> str:
    return f"{reward:+.2f}".replace("-", "−")


def _thickness(count: int) -> float:
    return 0.7 + 0.4 * math.log10(max(count, 1))


def _reward_colour(reward: float) -> str:
    return to_hex(_REWARD_COLOURS((reward - MISS_REWARD) / (TOP_REWARD - MISS_REWARD)))


def _bend(start: Point, end: Point, nodes: dict[str, Point], bends: tuple[float, ...]) -> float:
    """The first bend of an edge that runs into the fewest other nodes."""
    others = [at for at in nodes.values() if at not in (start, end)]

    def met(bend: float) -> int:
        way = _along(start, end, bend, tuple(i / 24 for i in range(1, 24)))
        return sum(min(math.dist(at, point) for point in way) < _CLEARANCE for at in others)

    return min(bends, key=met)


def _arrow(
    axes: Axes,
    ends: tuple[Point, Point],
    patches: tuple[Patch, Patch],
    bend: float,
    colour: str,
    width: float,
    style: str = "-",
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            *ends,
            patchA=patches[0],
            patchB=patches[1],
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=11,
            shrinkA=0,
            shrinkB=1,
            color=colour,
            linewidth=width,
            linestyle=style,
            zorder=2,
        )
    )


def _along(
    start: Point,
    end: Point,
    bend: float,
    stops: tuple[float, ...],
    aside: tuple[float, ...] = (0.0,),
) -> list[Point]:
    """Points on the curve that matplotlib's ``arc3`` draws, then points beside it."""
    (x1, y1), (x2, y2) = start, end
    dx, dy = x2 - x1, y2 - y1
    size = math.hypot(dx, dy) or 1.0
    cx, cy = (x1 + x2) / 2 + bend * dy, (y1 + y2) / 2 - bend * dx
    points = []
    for off, t in itertools.product(aside, stops):
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        points.append(
            (a * x1 + b * cx + c * x2 - off * dy / size, a * y1 + b * cy + c * y2 + off * dx / size)
        )
    return points


def _place_labels(axes: Axes, nodes: list[Patch], labels: list[_Label]) -> None:
    """Puts each label where it covers the least of what is there already."""
    canvas = axes.figure.canvas
    renderer = canvas.get_renderer()  # type: ignore[attr-defined]  # an Agg canvas has one
    taken = [node.get_window_extent(renderer) for node in nodes]
    # Tall labels have the fewest places to go, so they choose first.
    for label in sorted(labels, key=lambda label: -label.text.count("\n")):
        box = _text(axes, label.places[0], label.text, label.size).get_window_extent(renderer)
        axes.texts[-1].remove()
        wide, high = box.width / 2 + 2, box.height / 2 + 2

        def around(at: Point, wide: float = wide, high: float = high) -> Bbox:
            x, y = axes.transData.transform(at)
            return Bbox.from_extents(x - wide, y - high, x + wide, y + high)

        best = min(label.places, key=lambda at: sum(_overlap(around(at), b) for b in taken))
        taken.append(around(best))
        _boxed(axes, best, label, (2 * wide, 2 * high))


def _overlap(one: Bbox, other: Bbox) -> float:
    common = Bbox.intersection(one, other)
    return float(common.width * common.height) if common else 0.0


def _boxed(axes: Axes, at: Point, label: _Label, size: tuple[float, float]) -> None:
    """A label on a piece of paper; one text per line, so that it stays centred in any font."""
    corner = (at[0] - size[0] / 2, at[1] - size[1] / 2)
    style = "round,pad=0,rounding_size=3"
    axes.add_patch(
        FancyBboxPatch(
            corner, *size, boxstyle=style, facecolor=PAPER, edgecolor="none", alpha=0.88, zorder=3
        )
    )
    lines = label.text.split("\n")
    for i, line in enumerate(lines):
        y = at[1] + (size[1] - 3) / len(lines) * ((len(lines) - 1) / 2 - i)
        _text(axes, (at[0], y), line, label.size, zorder=4)


def _text(axes: Axes, at: Point, text: str, size: float, **style: Any) -> Text:  # noqa: ANN401
    # A name may hold a dollar sign, which is not meant as mathematics.
    look: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "color": INK,
        "parse_math": False,
    } | style
    return axes.text(*at, text, fontsize=size, **look)


def _key(axes: Axes, top: float) -> None:
    """What shapes and lines mean."""
    nodes = ((TYPE, "traffic type"), (ACTION, "mitigation action"), (SIGNATURE, "signature id"))
    for i, (kind, said) in enumerate(nodes):
        x, y = -_WIDTH / 2 + 44, top - 20 * i
        style: dict[str, Any] = {"facecolor": _FILL[kind], "edgecolor": _LINE[kind]}
        mark: Patch = Circle((x, y), 7, **style)
        if kind == ACTION:
            mark = FancyBboxPatch((x - 10, y - 6), 20, 12, boxstyle="round,pad=0", **style)
        elif kind == SIGNATURE:
            mark = RegularPolygon((x, y), 6, radius=8, **style)
        axes.add_patch(mark)
        _text(axes, (x + 18, y), said, 8.5, ha="left")
    left = -_WIDTH / 2 + 230
    lines = (
        (_reward_colour(TOP_REWARD), "-", "type to action: mean reward (width: how often)"),
        (_LINE[SIGNATURE], "-", "signature to predicted type: confidence B"),
        (_CONFUSED_LINE, "--", "type to actual type: share of the signature's flows misdetected"),
    )
    for i, (colour, style_, said) in enumerate(lines):
        y = top - 20 * i
        axes.plot([left, left + 36], [y, y], color=colour, linestyle=style_, linewidth=2)
        _text(axes, (left + 46, y), said, 8.5, ha="left")
    _reward_scale(axes, (_WIDTH / 2 - 280, top - 4))


def _reward_scale(axes: Axes, at: Point) -> None:
    wide, steps = 240.0, 24
    for i in range(steps):
        reward = MISS_REWARD + (TOP_REWARD - MISS_REWARD) * (i + 0.5) / steps
        x = at[0] + wide * i / steps
        axes.fill_between(
            [x, x + wide / steps], at[1] - 5, at[1] + 5, color=_reward_colour(reward), linewidth=0
        )
    for share, said in ((0.0, f"−{-MISS_REWARD}"), (0.5, "mean reward"), (1.0, f"+{TOP_REWARD}")):
        _text(axes, (at[0] + wide * share, at[1] - 18), said, 8.5)


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _saved(content: Figure, kind: str, name: str) -> bytes:
    """The figure's file: the same bytes for the same figure, and text as text in SVG."""
    buffer = io.BytesIO()
    keys = ("Creator", "Date", "Format", "Type")
    metadata = dict.fromkeys(keys) if kind == "svg" else {"Software": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        content.savefig(buffer, format=kind, dpi=200, facecolor=PAPER, metadata=metadata)
    return buffer.getvalue()
