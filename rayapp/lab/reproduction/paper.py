"""The paper's own figures (Towhid et al., tables I, II, IV, V and sections III and IV) as data."""

from __future__ import annotations

CLASSES = (
    "PortScan",
    "DoS",
    "Benign",
    "DDoS",
    "SSH-Patator",
    "FTP-Patator",
    "Web",
    "Infiltration",
)
"""In the order of the paper's tables."""

TABLE_4: dict[str, dict[str, float]] = {
    "ppo": dict(
        zip((*CLASSES, "average"), (5.0, 5.0, -5.0, 5.0, 1.99, 1.99, -5.0, 5.0, 1.13), strict=True)
    ),
    "ppo-kg": dict(
        zip(
            (*CLASSES, "average"),
            (5.0, 4.98, -0.11, 4.99, -3.87, -4.99, -4.88, 2.20, 2.88),
            strict=True,
        )
    ),
    "ppo-kg-pt": dict(
        zip(
            (*CLASSES, "average"),
            (5.0, 4.99, 4.99, 4.99, 1.97, 1.98, -4.94, 2.35, 4.91),
            strict=True,
        )
    ),
}
"""Class-wise average test reward of three systems."""

TABLE_5: dict[str, tuple[float, float, float, int]] = {
    "PortScan": (99.33, 99.96, 99.64, 47_641),
    "DoS": (99.63, 99.77, 99.70, 75_514),
    "Benign": (99.94, 99.88, 99.91, 681_396),
    "DDoS": (99.96, 99.90, 99.93, 38_408),
    "SSH-Patator": (99.27, 99.66, 99.46, 1_769),
    "FTP-Patator": (99.92, 99.79, 99.85, 2_380),
    "Web": (95.14, 95.72, 95.43, 654),
    "Infiltration": (71.45, 72.05, 71.75, 601),
}
"""Precision, recall, F1 in percent and support of the detector on the test flows."""

SIGNATURES = 1451
GRAPH_NODES, GRAPH_EDGES = 1306, 1382

FIGURE_3_EPISODES = 500_000
PASSES = 5
CLONING_EPOCHS = 10
SUPERVISED_EPOCHS = 100

LANGUAGE_MODEL_SECONDS = 0.58
"""Per inference, Phi-3.5 in float32 on an RTX 3090."""

IN_THE_LOOP_SECONDS = 0.88
POLICY_SECONDS = 0.0017
"""Per decision: with the language model in the loop, and plain PPO's."""
