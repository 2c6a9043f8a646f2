"""What a graph is about: scenario, signatures, catalogue, prior, forgetting.

It is written into every store and snapshot, so both can be read without the scenario they
were learnt on, and neither can be taken for another scenario's.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue, Contexts, InputError, Scenario
from envs.flows import KIND, is_synthetic
from kg_actor.graph import KnowledgeGraph
from kg_actor.shards import in_shards

MOST_SIGNATURES = MOST_CONTEXTS = 10_000_000


@dataclass(frozen=True)
class GraphSpec:
    """All that decides a graph besides its experience.

    Attributes:
        fingerprint: of the scenario.
        kind: of the data set that the flows are of.
        predicted: int8 [signatures], the class each signature predicts.
        catalogue: classes, actions, rewards.
        prior: of the signatures' confidence.
        half_life: of forgetting, in flows; ``None`` never forgets.
        signature: int32 [contexts], the signature of each context; ``None`` where contexts are
            signatures.
        synthetic: whether the flows were drawn from a model.
        opinion: int8 [contexts], the second opinion's class; ``None`` where there is none.
        confidence: float32 [contexts], how sure it is; ``None`` likewise.
        distinct: number of the scenario's training flows; ``None`` likewise.
        of_rules: whether signatures are rules of an IDS.
    """

    fingerprint: str
    kind: str
    predicted: NDArray[np.int8]
    catalogue: Catalogue
    prior: BetaPrior
    half_life: float | None = None
    signature: NDArray[np.int32] | None = None
    synthetic: bool = False
    opinion: NDArray[np.int8] | None = None
    confidence: NDArray[np.float32] | None = None
    distinct: int | None = None
    of_rules: bool = False

    @classmethod
    def of(
        cls, scenario: Scenario, prior: BetaPrior | None = None, half_life: float | None = None
    ) -> GraphSpec:
        """What a graph of a scenario's signatures is about."""
        return cls(
            scenario.fingerprint,
            scenario.kind,
            scenario.signatures.predicted,
            scenario.catalogue,
            prior or BetaPrior(),
            half_life,
            None if scenario.contexts.are_signatures else scenario.contexts.signature,
            scenario.synthetic,
            scenario.contexts.opinion,
            scenario.contexts.confidence,
            scenario.contexts.distinct,
            scenario.contexts.of_rules,
        )

    @cached_property
    def contexts(self) -> Contexts:
        """What flows are met in."""
        if self.signature is None:
            return Contexts.of_signatures(self.predicted, of_rules=self.of_rules)
        return Contexts(
            self.signature, self.predicted, self.opinion, self.confidence, self.distinct
        )

    def new_graph(self) -> KnowledgeGraph:
        """An empty graph of this kind."""
        return KnowledgeGraph(
            self.predicted, self.catalogue, self.prior, self.half_life, self.contexts
        )

    def check_same(self, other: GraphSpec, where: str) -> None:
        """Refuses another scenario's graph, and one that counts differently.

        Args:
            other: of the graph found.
            where: it was found.

        Raises:
            InputError: they differ.
        """
        if other.fingerprint != self.fingerprint:
            raise InputError(
                f"belongs to scenario {other.fingerprint[:12]}",
                where=where,
                expected=f"a graph of scenario {self.fingerprint[:12]}",
                mend="Use the scenario it was learnt on, or another place for the graph",
            )
        for name, found, wanted in (
            ("the prior", other.prior, self.prior),
            ("the half-life", other.half_life, self.half_life),
        ):
            if found != wanted:
                raise InputError(
                    f"{name} of this graph is {found}",
                    where=where,
                    expected=f"{wanted}, as in the settings",
                    mend="Use the graph's own settings, or another place for the graph",
                )

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        # Graphs of a tree without a second opinion are described as they always were.
        opinion: dict[str, Any] = {"of_rules": True} if self.of_rules else {}
        if self.opinion is not None and self.confidence is not None:
            opinion = {
                "opinion": self.opinion.tolist(),
                "confidence": self.confidence.tolist(),
                "distinct": self.distinct,
            }
        return opinion | {
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "synthetic": self.synthetic,
            "predicted": self.predicted.tolist(),
            "catalogue": self.catalogue.to_json(),
            "prior": {"alpha": self.prior.alpha, "beta": self.prior.beta},
            "half_life": self.half_life,
            "signature": None if self.signature is None else self.signature.tolist(),
        }

    @classmethod
    def from_json(cls, data: Any, where: str) -> GraphSpec:  # noqa: ANN401 (from a file)
        """The inverse of :meth:`to_json`.

        Args:
            data: parsed JSON.
            where: the file it is from.

        Raises:
            InputError: it describes a part of a graph in shards.
            ValueError, KeyError, TypeError: it does not describe a graph.
        """
        if data.get("shard") is not None:
            raise in_shards(where)
        catalogue = Catalogue.from_json(data["catalogue"])
        numbers = data["predicted"]
        if not isinstance(numbers, list) or not 0 < len(numbers) <= MOST_SIGNATURES:
            raise ValueError("no sensible number of signatures")
        classes = len(catalogue.classes)
        if not all(type(number) is int and 0 <= number < classes for number in numbers):
            raise ValueError("a signature predicts no class")
        if not re.fullmatch(KIND, data["kind"]):
            raise ValueError("the flows are of no kind with a name")
        half_life = data["half_life"]
        prior = [float(data["prior"][name]) for name in ("alpha", "beta")]
        given = prior if half_life is None else [*prior, float(half_life)]
        if not all(0 < number < math.inf for number in given):
            raise ValueError("prior and half-life must be numbers above 0")
        signature = _signatures(data["signature"], len(numbers))
        opinion, confidence = _opinions(data, signature, classes)
        return cls(
            _hexadecimal(data["fingerprint"]),
            data["kind"],
            np.array(numbers, dtype=np.int8),
            catalogue,
            BetaPrior(*prior),
            None if half_life is None else float(half_life),
            signature,
            is_synthetic(data),
            opinion,
            confidence,
            _distinct(data.get("distinct")),
            data.get("of_rules") is True,
        )


def _signatures(numbers: Any, signatures: int) -> NDArray[np.int32] | None:  # noqa: ANN401
    """The signature of each context, out of a file."""
    if numbers is None:
        return None
    if not isinstance(numbers, list) or not 0 < len(numbers) <= MOST_CONTEXTS:
        raise ValueError("no sensible number of contexts")
    if not all(type(number) is int and 0 <= number < signatures for number in numbers):
        raise ValueError("a context has no signature")
    return np.array(numbers, dtype=np.int32)


def _opinions(
    data: Any,  # noqa: ANN401 (from a file)
    signature: NDArray[np.int32] | None,
    classes: int,
) -> tuple[NDArray[np.int8] | None, NDArray[np.float32] | None]:
    """The second opinion of each context, out of a file."""
    opinion, confidence = data.get("opinion"), data.get("confidence")
    if opinion is None and confidence is None:
        return None, None
    contexts = None if signature is None else len(signature)
    for column in (opinion, confidence):
        if not isinstance(column, list) or len(column) != contexts:
            raise ValueError("a second opinion of other contexts")
    if not all(type(number) is int and 0 <= number < classes for number in opinion):
        raise ValueError("a second opinion names no class")
    if not all(type(number) is float and 0 <= number <= 1 for number in confidence):
        raise ValueError("a confidence that cannot be")
    return np.array(opinion, dtype=np.int8), np.array(confidence, dtype=np.float32)


def _distinct(number: Any) -> int | None:  # noqa: ANN401 (from a file)
    if number is not None and not (type(number) is int and number > 0):
        raise ValueError("no sensible number of training flows")
    return None if number is None else int(number)


def _hexadecimal(text: Any) -> str:  # noqa: ANN401 (from a file)
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("the fingerprint is none")
    return text
