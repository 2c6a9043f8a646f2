"""What is known of a node, as facts and tables that any medium can show.

Numbers become words here; how they are laid out is the page's business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from kg_actor.drawing.selection import Sketch
from kg_actor.drawing.style import percent, signed
from kg_actor.graph import KnowledgeGraph
from kg_actor.neighbourhood import neighbourhood, type_neighbourhood
from kg_actor.records import ActionRecord, ConfusionRecord, TypeConfusion, TypeNeighbourhood
from kg_actor.view import ACTION, SIGNATURE, TYPE

_SIGNATURES_TOLD = 15
_ATTACK_ID = re.compile(r"[A-Z]{1,4}\d{4}(\.\d{3})?")


@dataclass(frozen=True)
class Cell:
    """One cell of a table; ``node`` is the node of the view that it names, if any."""

    text: str
    node: str | None = None


@dataclass(frozen=True)
class Table:
    """A table with a caption and a head; the first cell of a row says what the row is about."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Record:
    """All that is told about one node.

    Attributes:
        node: its name in the view.
        kind: type, action or signature.
        title: its name for people.
        facts: what and how much, in words.
        tables: what it is connected to; tables without rows are left out.
        attack_id: ATT&CK id of an action, if it has a well-formed one.
    """

    node: str
    kind: str
    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    attack_id: str | None = None

    @property
    def url(self) -> str | None:
        """The mitigation's page at attack.mitre.org."""
        return self.attack_id and f"https://attack.mitre.org/mitigations/{self.attack_id}/"


def records(graph: KnowledgeGraph, part: Sketch, rules: Sequence[str] | None) -> list[Record]:
    """The records of all nodes of a sketch, in its order.

    Args:
        graph: the graph that was sketched.
        part: the sketch.
        rules: the readable condition of every signature of the graph, by id.
    """
    teller = _Teller(graph, rules)
    tell = {TYPE: teller.type, ACTION: teller.action, SIGNATURE: teller.signature}
    return [
        tell[data["kind"]](name, str(data["label"])) for name, data in part.view.nodes(data=True)
    ]


class _Teller:
    def __init__(self, graph: KnowledgeGraph, rules: Sequence[str] | None) -> None:
        self._graph, self._rules = graph, rules

    @cached_property
    def _types(self) -> dict[str, TypeNeighbourhood]:
        names = self._graph.catalogue.class_names
        return {name: type_neighbourhood(self._graph, name) for name in names}

    def type(self, node: str, name: str) -> Record:
        told = self._types[name]
        shown = told.signatures[:_SIGNATURES_TOLD]
        few = "" if len(shown) == len(told.signatures) else f" {len(shown)} of"
        signatures = [
            (
                Cell(str(each.signature), f"signature:{each.signature}"),
                Cell(_number(each.seen)),
                Cell(f"{each.confidence:.3f}"),
            )
            for each in shown
        ]
        taken = f"{_number(told.seen)}, of which {_number(told.correct)} rightly"
        return Record(
            node,
            TYPE,
            name,
            (
                ("Flows taken for it", taken),
                ("Its flows taken for another type", _number(told.missed)),
            ),
            _filled(
                Table("Actions by mean reward", _ACTION_HEAD, _actions(told.actions)),
                Table(
                    "What flows taken for it really were",
                    _CONFUSED_HEAD,
                    _confused(told.confusions),
                ),
                Table(
                    f"Its signatures, most flows first:{few} {len(told.signatures)}",
                    ("Signature", "N", "B"),
                    tuple(signatures),
                ),
            ),
        )

    def signature(self, node: str, name: str) -> Record:
        told = neighbourhood(self._graph, int(name))
        facts = [
            ("Predicts", told.predicted),
            ("N, flows matched", _number(told.seen)),
            ("C, of them right", _number(told.correct)),
            ("B, confidence", f"{told.confidence:.4f}"),
        ]
        if self._rules is not None:
            facts.insert(1, ("Rule", self._rules[told.signature]))
        return Record(
            node,
            SIGNATURE,
            f"Signature {name}",
            tuple(facts),
            _filled(
                Table("What its flows really were", _CONFUSED_HEAD, _confused(told.confusions)),
                Table(
                    f"Actions under {told.predicted}",
                    (*_ACTION_HEAD, "In the prompt"),
                    tuple(
                        (*row, Cell("left out" if each.left_out else "yes"))
                        for row, each in zip(_actions(told.actions), told.actions, strict=True)
                    ),
                ),
            ),
        )

    def action(self, node: str, name: str) -> Record:
        ids = {action.name: action.attack_id for action in self._graph.catalogue.actions}
        attack_id = ids[name] or ""
        known = _ATTACK_ID.fullmatch(attack_id)
        earned = [
            (told.traffic, record)
            for told in self._types.values()
            for record in told.actions
            if record.action == name
        ]
        earned.sort(key=lambda pair: -pair[1].mean_reward)
        rows = tuple((_type(traffic), *_earned(record)) for traffic, record in earned)
        return Record(
            node,
            ACTION,
            name,
            (("ATT&CK mitigation", attack_id or "none"),),
            _filled(Table("What it earned, by predicted type", ("Type", *_EARNED_HEAD), rows)),
            attack_id if known else None,
        )


_EARNED_HEAD = ("Mean reward", "Flows", "Taught")
_ACTION_HEAD = ("Action", *_EARNED_HEAD)
_CONFUSED_HEAD = ("Type", "Flows", "Share", "Its best action")


def _confused(met: Sequence[ConfusionRecord | TypeConfusion]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            _type(each.actual),
            Cell(_number(each.count)),
            Cell(percent(each.share)),
            _best(each.best_action),
        )
        for each in met
    )


def _actions(found: Sequence[ActionRecord]) -> tuple[tuple[Cell, ...], ...]:
    return tuple((_action(record.action), *_earned(record)) for record in found)


def _earned(record: ActionRecord) -> tuple[Cell, ...]:
    taught = f"{record.taught_weight:,.4g} flows by {', '.join(record.sources)}"
    return (
        Cell(signed(record.mean_reward)),
        Cell(_number(record.count)),
        Cell(taught if record.sources else "–"),
    )


def _type(name: str) -> Cell:
    return Cell(name, f"type:{name}")


def _action(name: str) -> Cell:
    return Cell(name, f"action:{name}")


def _best(action: str | None) -> Cell:
    return Cell("not known") if action is None else _action(action)


def _filled(*tables: Table) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)


def _number(count: int) -> str:
    return f"{count:,}"
