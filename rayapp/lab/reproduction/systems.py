"""What tables and plots call systems and settings."""

from __future__ import annotations

from rayapp.lab.reproduction.plan import Label

_NAMES = {
    "ppo": "PPO",
    "ppo-kg": "PPO-KG",
    "ppo-kg-pt": "PPO-KG-PT",
    "llm-kg": "LLM-KG",
    "dl": "DL",
    "lambda 1.0": "λ = 1",
    "lambda 0.1": "λ = 0.1",
}

SETTINGS: dict[Label, str] = {"paper": "paper settings", "kirl": "kirl settings"}
HEADINGS: dict[Label, str] = {"paper": "Paper settings", "kirl": "kirl settings"}


def shown(name: str) -> str:
    """A system's name as the paper writes it, or the name itself."""
    return _NAMES.get(name, name)
