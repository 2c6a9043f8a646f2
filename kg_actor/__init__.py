"""The knowledge graph: exact counts of experience, asked and seen as the paper's graph."""

from kg_actor.graph import GraphCounts, KnowledgeGraph, MergeKey, counters_of, reward_sums
from kg_actor.neighbourhood import Neighbourhood, Records, neighbourhood, records_of
from kg_actor.view import to_networkx

__all__ = [
    "GraphCounts",
    "KnowledgeGraph",
    "MergeKey",
    "Neighbourhood",
    "Records",
    "counters_of",
    "neighbourhood",
    "records_of",
    "reward_sums",
    "to_networkx",
]
