"""What an iteration tells Ray's metrics, and so Prometheus and Grafana (docs/monitoring.md)."""

from __future__ import annotations

import time

from ray.rllib.core.learner.learner import ENTROPY_KEY
from ray.util.metrics import Counter, Gauge

from kg_actor.raykit import count, metrics
from rayapp.rl.reference_term import LAMBDA_KEY, REFERENCE_KL_KEY
from rayapp.rl.summary import OPEN, IterationSummary

LEARNT = {
    LAMBDA_KEY: ("lambda", "Weight of the KL term"),
    REFERENCE_KL_KEY: ("reference_kl_nats", "KL divergence between policy and reference policy"),
    ENTROPY_KEY: ("entropy_nats", "Entropy of the policy"),
}
"""The learner's metrics that are exported: name and meaning."""


class IterationMetrics:
    """The driver's metrics of one run, tagged with its name and set once per iteration.

    Args:
        run: the run's name.
    """

    def __init__(self, run: str) -> None:
        made = metrics("kirl_", {"run": run})
        self._reward = made(Gauge, "reward", "Average reward per flow, last iteration")
        self._class_reward = made(
            Gauge, "class_reward", "The same of one true class' flows", "traffic"
        )
        self._learnt = {key: made(Gauge, *about) for key, about in LEARNT.items()}
        self._flows = made(Counter, "flows", "Flows decided")
        self._speed = made(Gauge, "flows_per_second", "Of the last iteration, all included")
        self._prompts = made(Counter, "prompts_asked", "Prompts answered anew for the run's advice")
        self._age = made(Gauge, "advice_age_versions", "Graph versions that advice lags behind")
        self._fallbacks = made(
            Counter, "fallbacks", "Prompts that the graph reader answered for an endpoint"
        )
        self._circuit = made(
            Gauge, "circuit_open", "Endpoint: 1 is left alone, 0.5 tried again, 0 asked"
        )
        self._told_at = time.perf_counter()

    def tell(self, summary: IterationSummary, flows: int) -> None:
        """Exports an iteration's figures.

        Args:
            summary: of the iteration.
            flows: that it decided.
        """
        now = time.perf_counter()
        seconds, self._told_at = now - self._told_at, now
        self._reward.set(summary.average_reward)
        for name, reward in summary.class_reward.items():
            self._class_reward.set(reward, {"traffic": name})
        for key, gauge in self._learnt.items():
            if key in summary.results:
                gauge.set(summary.results[key])
        self._flows.inc(flows)
        self._speed.set(flows / max(seconds, 1e-9))
        count(self._prompts, summary.prompts_asked)
        self._age.set(summary.advice_age)
        if summary.circuit is not None:
            self._circuit.set(OPEN[summary.circuit])
        count(self._fallbacks, summary.fallbacks)
