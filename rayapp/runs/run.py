"""A finished run for Python users: its figures as pandas DataFrames."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs import Scenario
from envs.score import Scorecard, evaluate
from kg_actor.records import mean_rewards
from kg_actor.view import CONFUSED, EARNED, PREDICTS, edges_of
from rayapp.config import TrainingSettings
from rayapp.runs.folder import RunFolder

if TYPE_CHECKING:
    # Both take a while to import, and most commands do without.
    from pandas import DataFrame

    from rayapp.decisions.decider import Decider
    from rayapp.rl.saved_policy import Policy


class Run:
    """A run that ``kirl train`` wrote.

    For example::

        from rayapp import Run

        run = Run("run")
        run.scorecard().query("flows < 100")
        run.progress().plot(x="flows", y="average_reward")
        run.decide(pandas.read_csv("flows.csv")).mitigation.value_counts()

    Args:
        path: the run's folder, on this machine.

    Raises:
        InputError: the folder holds no run, or one of another version of kirl.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder(Path(path))
        self.settings: TrainingSettings = self.folder.manifest().settings

    def policy(self) -> Policy:
        """The trained policy; raises :class:`InputError` while training has not finished."""
        return self.folder.policy()

    def scenario(self) -> Scenario:
        """The run's own copy of its scenario."""
        return self.folder.scenario()

    def score(self) -> Scorecard:
        """What the policy earns on the test split, as ``kirl evaluate --json`` prints it."""
        scenario = self.scenario()
        flows = scenario.flow_set("test")
        known = scenario.training_counts() if scenario.has_opinion else None
        return evaluate(self.policy().actions(flows.contexts), flows, known)

    def scorecard(self) -> DataFrame:
        """What the policy earns on the test split, by true class.

        The average over flows is ``(card.reward * card.flows).sum() / card.flows.sum()``, the
        class mean is ``card.reward.mean()``.

        Returns:
            One row for each true class that occurs, with the columns

            ================ ======= =====================================================
            ``class``        str     name of the true class
            ``flows``        int64   flows of the class in the test split
            ``reward``       float64 mean reward of the policy's actions
            ``by_class``     float64 mean reward of the best action for the class detected
            ``by_signature`` float64 mean reward of the best policy that sees the signature alone
                                     and knows the test labels; a bound on the average over flows
            ================ ======= =====================================================

        Raises:
            InputError: training has not finished.
        """
        from pandas import DataFrame

        card = self.score()
        names = list(card.flows_per_class)
        scores = {
            "reward": card.score,
            "by_class": card.predicted_class,
            "by_signature": card.signature_oracle,
        }
        rewards = {
            column: np.array([score.per_class[name] for name in names], np.float64)
            for column, score in scores.items()
        }
        flows = np.array([card.flows_per_class[name] for name in names], np.int64)
        return DataFrame({"class": names, "flows": flows, **rewards})

    def decide(self, frame: DataFrame, *, explain: bool = False) -> DataFrame:
        """What the policy does about flows without labels, as ``kirl decide`` writes it.

        Loading detector, policy and graph takes a while and is done once per ``Run``.

        Args:
            frame: one row per flow. Columns are found by all the names that they have in files,
                in any order; others are passed over. For a run on alerts, one row per record of
                the log, as ``pandas.read_json("eve.json", lines=True)`` gives them.
            explain: whether to tell why.

        Returns:
            One row for each row of the frame, with its index, and the columns

            =================== ======== ==================================================
            ``class``           category name of the class detected
            ``signature``       Int64    number of the signature that the flow matches
            ``rule``            category the signature's condition
            ``seen``            Int64    N, flows that the signature has matched
            ``correct``         Int64    C, those of them that were of the class
            ``confidence``      float64  B, eq. 1
            ``mitigation``      category what the policy does
            ``attack_id``       category its id in MITRE ATT&CK; missing if it has none
            ``probability``     float64  of the mitigation, by the policy
            ``expected_reward`` float64  per flow, by the classes that such flows were of
            ``ranked``          object   all mitigations, the likeliest first: a list of
                                         dictionaries with ``mitigation``, ``probability`` and
                                         ``expected_reward``, shared by rows
            ``undecided``       category why nothing is decided; missing where something is
            ``explanation``     object   with ``explain``: a dictionary of the graph's records,
                                         what was advised, and what such flows were
            =================== ======== ==================================================

        Raises:
            InputError: training has not finished, or a column is missing or holds no numbers.
        """
        from rayapp.decisions import frames

        return frames.decide(frame, *self._deciding, explain=explain)

    @cached_property
    def _deciding(self) -> tuple[Decider, Scenario]:
        from rayapp.decisions.decider import Decider

        scenario = self.scenario()
        return Decider.of(self.folder, scenario), scenario

    def progress(self) -> DataFrame:
        """What every iteration of the training saw.

        Returns:
            One row for each iteration, with the columns

            ======================= ======= ================================================
            ``iteration``           int64   counts from 1
            ``flows``               int64   flows trained on so far
            ``seconds``             float64 time spent training so far
            ``average_reward``      float64 mean reward of the iteration's flows
            ``graph_version``       int64   version of the knowledge graph after the iteration
            ``prompts_asked``       int64   prompts that the advisor answered after it
            ``advice_age``          int64   versions of the graph that advice lags behind
            ``fallbacks``           int64   prompts that the graph reader answered instead
            ``circuit``             object  ``closed``, ``half-open`` or ``open`` for an
                                            endpoint, ``None`` for other advisors
            ``class_reward.<name>`` float64 mean reward by true class; NaN if none was met
            ``learner.<metric>``    float64 the learner's metrics, such as ``learner.lambda``
            ======================= ======= ================================================
        """
        import pandas

        return pandas.json_normalize([asdict(line) for line in self.folder.progress()])

    def graph_edges(self) -> DataFrame:
        """The edges of the knowledge graph as it is now, as ``kg_actor.to_networkx`` names them.

        Returns:
            One row for each edge, with the columns

            =============== ======= ========================================================
            ``kind``        str     ``earned`` (type -> action), ``predicts`` (signature -> type)
                                    or ``confused`` (type -> actual type, per signature)
            ``source``      str     node, such as ``type:DoS`` or ``signature:17``
            ``target``      str     node, such as ``action:Audit``
            ``signature``   Int64   number of the signature; missing for ``earned``
            ``evidence``    float64 flows' worth of experience behind the edge
            ``mean_reward`` float64 mean reward of ``earned``; NaN for the others
            =============== ======= ========================================================

        Raises:
            InputError: the run keeps no graph, or it is damaged.
        """
        from pandas import DataFrame, concat

        graph = self.folder.graph()
        counts, edges, catalogue = graph.counts(), edges_of(graph), graph.catalogue
        types = np.array([f"type:{name}" for name in catalogue.class_names])
        actions = np.array([f"action:{action.name}" for action in catalogue.actions])
        weight, mean = mean_rewards(counts, catalogue)
        traffic, action = np.nonzero(edges.earned)
        earned = DataFrame(
            {
                "kind": EARNED,
                "source": types[traffic],
                "target": actions[action],
                "evidence": weight[traffic, action].astype(np.float64),
                "mean_reward": mean[traffic, action].astype(np.float64),
            }
        )
        (seen,) = np.nonzero(edges.predicts)
        predicts = DataFrame(
            {
                "kind": PREDICTS,
                "source": [f"signature:{number}" for number in seen],
                "target": types[graph.predicted[seen]],
                "signature": seen,
                "evidence": counts.signature_evidence[seen].sum(axis=1).astype(np.float64),
            }
        )
        signature, actual = np.nonzero(edges.confused)
        confused = DataFrame(
            {
                "kind": CONFUSED,
                "source": types[graph.predicted[signature]],
                "target": types[actual],
                "signature": signature,
                "evidence": counts.signature_evidence[signature, actual].astype(np.float64),
            }
        )
        joined = concat([earned, predicts, confused], ignore_index=True)
        columns = ["kind", "source", "target", "signature", "evidence", "mean_reward"]
        return joined.astype({"signature": "Int64"})[columns]
