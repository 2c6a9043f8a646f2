"""What a graph is about: scenario, signatures, catalogue, prior, forgetting.

It is written into every store and snapshot, so both can be read without the scenario they
were learnt on, and neither can be taken for another scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue, InputError
from kg_actor.graph import KnowledgeGraph


@dataclass(frozen=True)
class GraphSpec:
    """All that decides a graph besides its experience.

    Attributes:
        fingerprint: of the scenario.
        kind: ``cicids2017`` or ``synthetic``: where the flows came from.
        predicted: int8 [signatures], the class each signature predicts.
        catalogue: classes, actions, rewards.
        prior: of the signatures' confidence.
        half_life: of forgetting, in flows; ``None`` never forgets.
    """

    fingerprint: str
    kind: str
    predicted: NDArray[np.int8]
    catalogue: Catalogue
    prior: BetaPrior
    half_life: float | None = None

    def new_graph(self) -> KnowledgeGraph:
        """An empty graph of this kind."""
        return KnowledgeGraph(self.predicted, self.catalogue, self.prior, self.half_life)

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
        return {
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "predicted": self.predicted.tolist(),
            "catalogue": self.catalogue.to_json(),
            "prior": {"alpha": self.prior.alpha, "beta": self.prior.beta},
            "half_life": self.half_life,
        }

    @classmethod
    def from_json(cls, data: Any) -> GraphSpec:  # noqa: ANN401 (from a file)
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, KeyError, TypeError: it does not describe a graph.
        """
        catalogue = Catalogue.from_json(data["catalogue"])
        predicted = np.array(data["predicted"], dtype=np.int8)
        if predicted.ndim != 1 or not len(predicted):
            raise ValueError("no signatures")
        if predicted.min() < 0 or predicted.max() >= len(catalogue.classes):
            raise ValueError("a signature predicts no class")
        prior, half_life = data["prior"], data["half_life"]
        return cls(
            str(data["fingerprint"]),
            str(data["kind"]),
            predicted,
            catalogue,
            BetaPrior(float(prior["alpha"]), float(prior["beta"])),
            None if half_life is None else float(half_life),
        )
