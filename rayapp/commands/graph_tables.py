"""The tables that ``kirl graph`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from kg_actor.diff import GraphDiff
from kg_actor.queries import (
    ConfidencePoint,
    ErrorProne,
    ErrorProneRule,
    GraphStats,
    TopActions,
)
from kg_actor.records import ActionRecord, Neighbourhood, TypeNeighbourhood


def stats(source: str, result: GraphStats) -> Table:
    """The size of a graph by kinds of nodes and edges.

    Args:
        source: the graph's name, for the title.
        result: its size.
    """
    table = Table(title=f"{source}, version {result.version:,}")
    for name in ("", "nodes", "edges", "pairs of nodes"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("traffic types", f"{result.nodes.type:,}", "", "")
    table.add_row("actions (type -> action)", f"{result.nodes.action:,}", *_edges(result, "earned"))
    table.add_row(
        "signatures (signature -> type)", f"{result.nodes.signature:,}", *_edges(result, "predicts")
    )
    table.add_row("misdetections (type -> type)", "", *_edges(result, "confused"))
    totals = (result.nodes.total, result.edges.total, result.pairs.total)
    table.add_row("all", *[f"{number:,}" for number in totals], style="bold")
    return table


def stats_line(result: GraphStats) -> str:
    """What went into a graph, and who taught it."""
    return (
        f"{result.flows:,} flows in {result.merges:,} tables of {result.runs:,} run(s); "
        f"{result.unseen:,} signatures never seen; {result.lessons:,} lessons"
        + (f" by {', '.join(result.sources)}" if result.sources else "")
        + (f"; half-life {result.half_life:,.0f} flows" if result.half_life else "")
    )


def _edges(result: GraphStats, kind: str) -> tuple[str, str]:
    return f"{getattr(result.edges, kind):,}", f"{getattr(result.pairs, kind):,}"


def _action_rows(table: Table, actions: tuple[ActionRecord, ...]) -> None:
    for record in actions:
        taught = f"{record.taught_weight:,.0f} by {', '.join(record.sources)}"
        table.add_row(
            record.action,
            f"{record.mean_reward:.2f}",
            f"{record.count:,}",
            taught if record.sources else "",
            "left out" if record.left_out else "",
        )


def _action_table(title: str, actions: tuple[ActionRecord, ...]) -> Table:
    table = Table(title=title)
    for name in ("action", "mean reward", "flows", "taught", "filter"):
        table.add_column(name, justify="right" if name in {"mean reward", "flows"} else "left")
    _action_rows(table, actions)
    return table


def _confused(met: Any) -> str:  # noqa: ANN401 (both kinds of confusion have these fields)
    return (
        "; ".join(f"{one.count:,} were {one.actual} ({100 * one.share:.2f} %)" for one in met)
        or "none was of another type"
    )


def signature(answer: Neighbourhood) -> Table:
    """The records around a signature."""
    title = (
        f"Signature {answer.signature}, {answer.predicted}: {answer.correct:,} of "
        f"{answer.seen:,} flows detected correctly, confidence {answer.confidence:.4f}; "
        f"{_confused(answer.confusions)}"
    )
    return _action_table(title, answer.actions)


def traffic_type(answer: TypeNeighbourhood) -> Table:
    """The records around a traffic type."""
    title = (
        f"{answer.traffic}: {answer.correct:,} of {answer.seen:,} flows detected correctly by "
        f"{len(answer.signatures):,} signatures; {_confused(answer.confusions)}"
    )
    return _action_table(title, answer.actions)


def top(answers: tuple[TopActions, ...]) -> Table:
    """The best actions of each type."""
    table = _action_table("Best actions per type", ())
    for answer in answers:
        table.add_section()
        table.add_row(answer.traffic, style="bold")
        _action_rows(table, answer.actions)
    return table


def error_prone(answers: tuple[ErrorProne, ...]) -> Table:
    """The signatures with the most misdetected flows; rules of an IDS by what verdicts say."""
    title = "Signatures with the most misdetected flows"
    rules = [one for one in answers if isinstance(one, ErrorProneRule)]
    if rules:
        return _error_prone_rules(title, rules)
    table = Table(title=title)
    for name in ("signature", "predicts", "flows", "wrong", "confidence", "mostly were"):
        table.add_column(name)
    for one in answers:
        numbers = (f"{one.seen:,}", f"{one.wrong:,}", f"{one.confidence:.4f}")
        table.add_row(str(one.signature), one.predicted, *numbers, one.actual)
    return table


def _error_prone_rules(title: str, answers: list[ErrorProneRule]) -> Table:
    table = Table(title=title)
    table.add_column("rule", min_width=24, overflow="fold")
    for name in ("signature", "predicts", "verdicts", "right", "confidence", "mostly were"):
        table.add_column(name)
    for one in answers:
        numbers = (f"{one.verdicts:,}", f"{one.right:,}", f"{one.verdict_confidence:.4f}")
        table.add_row(one.rule, str(one.signature), one.predicted, *numbers, one.actual)
    return table


def history(points: list[ConfidencePoint]) -> Table:
    """How a signature's confidence moved."""
    table = Table(title="Confidence over time")
    for name in ("version", "flows merged", "N", "C", "confidence"):
        table.add_column(name, justify="right")
    for one in points:
        counts = (one.version, one.flows, one.seen, one.correct)
        table.add_row(*[f"{number:,}" for number in counts], f"{one.confidence:.4f}")
    return table


def changed(answers: tuple[Neighbourhood, ...]) -> Table:
    """The signatures whose records changed."""
    table = Table(title=f"{len(answers):,} signatures with changed records")
    for name in ("signature", "predicts", "flows", "confidence"):
        table.add_column(name)
    for one in answers:
        table.add_row(str(one.signature), one.predicted, f"{one.seen:,}", f"{one.confidence:.4f}")
    return table


def diff(result: GraphDiff) -> Iterator[Table]:
    """A summary of the difference, then signatures and rewards that moved most."""
    summary = Table(title="From the first graph to the second")
    for name in ("", "before", "after"):
        summary.add_column(name)
    summary.add_row("version", *[f"{number:,}" for number in result.version])
    summary.add_row("flows", *[f"{number:,}" for number in result.flows])
    for name, lost, gained in (
        ("merges only here", result.merges_lost, result.merges_gained),
        ("edges only here", result.vanished, result.appeared),
        ("lessons only here", result.lessons_withdrawn, result.lessons_added),
    ):
        summary.add_row(name, f"{len(lost):,}", f"{len(gained):,}")
    yield summary
    moved = Table(title=f"{len(result.signatures):,} signatures counted differently")
    for name in ("signature", "predicts", "confidence before", "after"):
        moved.add_column(name)
    for one in result.signatures[:20]:
        beliefs = [f"{belief:.4f}" for belief in one.confidence]
        moved.add_row(str(one.signature), one.predicted, *beliefs)
    yield moved
    rewards = Table(title=f"{len(result.rewards):,} edges with another mean reward")
    for name in ("type", "action", "before", "after"):
        rewards.add_column(name)
    for change in result.rewards[:20]:
        means = [f"{mean:.2f}" for mean in change.mean_reward]
        rewards.add_row(change.traffic, change.action, *means)
    yield rewards
