"""Advice: what the graph's records suggest, as prompts, distributions and a table."""

from llm_actor.advice import AdviceDesk, AdviceTable
from llm_actor.advisor import Advisor, GraphReader, with_floor
from llm_actor.prompts import Prompts, compose

__all__ = [
    "AdviceDesk",
    "AdviceTable",
    "Advisor",
    "GraphReader",
    "Prompts",
    "compose",
    "with_floor",
]
