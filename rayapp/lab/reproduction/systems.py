"""What tables and charts call systems and presets of settings."""

from __future__ import annotations

from rayapp.lab.reproduction.plan import Preset

NAMES = {
    "ppo": "PPO",
    "ppo-kg": "PPO-KG",
    "ppo-kg-pt": "PPO-KG-PT",
    "llm-kg": "LLM-KG",
    "dl": "DL",
    "lambda 1.0": "λ = 1",
    "lambda 0.1": "λ = 0.1",
}
"""Systems as the paper writes them; others are shown by their own names."""

SETTINGS: dict[Preset, str] = {"paper": "paper settings", "kirl": "kirl settings"}
