"""The knowledge graph: exact counts of experience, kept, asked and seen as the paper's graph."""

from kg_actor.graph import (
    Changes,
    GraphCounts,
    GraphState,
    Keyed,
    KnowledgeGraph,
    Merged,
    MergeKey,
    Recent,
    counters_of,
    experience,
    reward_sums,
)
from kg_actor.lessons import Lesson
from kg_actor.neighbourhood import neighbourhood, neighbourhoods, type_neighbourhood
from kg_actor.records import Neighbourhood, Records, TypeNeighbourhood, records_of
from kg_actor.spec import GraphSpec
from kg_actor.view import to_networkx

__all__ = [
    "Changes",
    "GraphCounts",
    "GraphSpec",
    "GraphState",
    "Keyed",
    "KnowledgeGraph",
    "Lesson",
    "MergeKey",
    "Merged",
    "Neighbourhood",
    "Recent",
    "Records",
    "TypeNeighbourhood",
    "counters_of",
    "experience",
    "neighbourhood",
    "neighbourhoods",
    "records_of",
    "reward_sums",
    "to_networkx",
    "type_neighbourhood",
]
