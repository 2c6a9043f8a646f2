"""How the graph came to be what it is: a signature's confidence, version by version."""

from __future__ import annotations

from pathlib import Path

from kg_actor import store
from kg_actor.queries import ConfidencePoint, confidence_history


def confidence_of(folder: Path, signature: int) -> list[ConfidencePoint]:
    """A signature's record over the life of a store.

    There is one point per version in which the signature matched a flow; where tables have
    been folded, one per base.

    Args:
        folder: of the store; it may be in use.
        signature: its id.

    Raises:
        InputError: there is no store, or it is damaged.
        KeyError: there is no such signature.
    """
    journal = store.journal(folder)
    journal.spec.new_graph().check_signature(signature)
    about = (int(journal.spec.predicted[signature]), journal.spec.prior, signature)
    points: list[ConfidencePoint] = []
    for base in journal.folded[:-1]:
        points += confidence_history((), *about, start=base)
    last = journal.folded[-1] if journal.folded else None
    points += confidence_history(
        journal.tables, *about, start=last, half_life=journal.spec.half_life
    )
    # A base at which nothing new had matched says nothing new.
    return [
        point for point, before in zip(points, [None, *points], strict=False) if _new(point, before)
    ]


def _new(point: ConfidencePoint, before: ConfidencePoint | None) -> bool:
    return before is None or point.seen != before.seen
