"""The knowledge graph as a STIX 2.1 bundle, for threat-intelligence platforms.

What becomes what, and why:

* A **traffic type** that stands for techniques is an ``attack-pattern`` by the graph's own
  identity: how adversaries behave, and what STIX lets a course of action mitigate. It claims no
  ATT&CK id itself, for it is a detector's class and may span several techniques; ``related-to``
  leads to them.
* A **technique** is an ``attack-pattern`` that ATT&CK's id and URL stand in (platforms match
  these by the external reference).
* A traffic type without techniques (benign traffic) is a ``note``: listing it among attack
  patterns would have platforms hunt for it.
* A **mitigation** is a ``course-of-action`` with ATT&CK's id and URL.
* A **type -> action edge** is a relationship between the two. It says ``mitigates`` only where
  the experience is positive and the type an attack: readers that ignore numbers must not take
  an action that failed for a remedy. All others say ``related-to``.

Numbers travel in a property extension (:data:`EXTENSION_ID`, its definition is part of the
bundle) instead of ``x_`` properties, which STIX 2.1 deprecates and strict parsers refuse.
Signatures stay at home: an indicator needs a pattern over observable objects, and the flow
statistics in their rules have no counterpart among those.

Ids are version 5 UUIDs, so that exporting again updates what a platform holds instead of adding
to it. STIX wants ``created`` to be the same in all versions of an object and leaves the choice
of moment to its creator; here it is the day on which STIX 2.1 became a standard.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import stix2

from envs.catalogue import Catalogue, Mitigation, TrafficClass
from kg_actor.attack import Technique, source_name, techniques_of
from kg_actor.graph import KnowledgeGraph, experience, reward_sums

_NAMESPACE = uuid.UUID("0b4f7f39-5f9c-4f27-9f0e-6c1c6a0f4d1b")
CREATED = datetime(2021, 6, 10, tzinfo=UTC)
"""``created`` of every object; no export can be earlier."""


def _id(kind: str, *parts: str) -> str:
    # JSON keeps ("a", "bc") and ("ab", "c") apart, and any character is fit for it.
    return f"{kind}--{uuid.uuid5(_NAMESPACE, json.dumps([kind, *parts]))}"


EXTENSION_ID = _id("extension-definition", "experience")
"""Key of the property extension that a relationship's experience stands under."""

_KIRL = _id("identity", "kirl")

# Without bounds: they are the catalogue's, and the extension is the same in every bundle.
_NUMBER = {"type": "number"}
_FLOWS = {"type": "number", "exclusiveMinimum": 0}
_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "description": "What an action earned under a traffic type, as mean reward per flow.",
    "properties": {
        "extension_type": {"const": "property-extension"},
        "traffic_type": {"type": "string"},
        "action": {"type": "string"},
        "reward": _NUMBER | {"description": "learnt and taught together"},
        "weight": _FLOWS | {"description": "flows of experience, learnt and taught together"},
        "taught_share": _NUMBER | {"minimum": 0, "maximum": 1},
        "count": {"type": "integer", "minimum": 0, "description": "flows seen"},
        "learnt_reward": _NUMBER,
        "learnt_weight": _FLOWS | {"description": "flows seen, or what forgetting left of them"},
        "lessons": {
            "type": "array",
            "description": "what was taught, by source",
            "items": {
                "type": "object",
                "properties": {
                    "provenance": {"type": "string"},
                    "reward": _NUMBER,
                    "weight": _FLOWS,
                },
                "required": ["provenance", "reward", "weight"],
            },
        },
    },
    "required": ["extension_type", "traffic_type", "action", "reward", "weight", "count"],
}


def to_stix(graph: KnowledgeGraph, fingerprint: str, at: datetime | None = None) -> str:
    """A bundle of all types, techniques and mitigations, and of every edge with experience.

    Args:
        graph: the graph.
        fingerprint: of its scenario; ids of types and edges derive from it.
        at: when the graph was as it is (default: now).

    Returns:
        JSON text that ``stix2.parse`` reads.

    Raises:
        ValueError: ``at`` has no time zone, or is before :data:`CREATED`.
    """
    at = at or datetime.now(UTC)
    if at.tzinfo is None or at < CREATED:
        raise ValueError(f"at must have a time zone and not be before {CREATED:%Y-%m-%d}")
    objects = [*_own_objects(), *_attack_objects(graph.catalogue)]
    objects += _graph_objects(graph, fingerprint, at)
    bundle = stix2.Bundle(objects, id=_id("bundle", fingerprint, at.isoformat()))
    return str(bundle.serialize(indent=2)) + "\n"


def _own_objects() -> list[Any]:
    """Who speaks, and what its extension means: the same in every bundle."""
    return [
        stix2.Identity(
            id=_KIRL,
            name="kirl",
            description="Knowledge-infused reinforcement learning for threat mitigation.",
            identity_class="system",
            created=CREATED,
            modified=CREATED,
        ),
        stix2.ExtensionDefinition(
            id=EXTENSION_ID,
            name="kirl experience",
            description="What a course of action earned against a type of network traffic.",
            schema=json.dumps(_SCHEMA),
            version="1.0.0",
            extension_types=["property-extension"],
            **_made(_KIRL),
        ),
    ]


def _made(by: str, at: datetime = CREATED) -> dict[str, Any]:
    return {"created_by_ref": by, "created": CREATED, "modified": at}


def _attack_objects(catalogue: Catalogue) -> list[Any]:
    """Techniques and mitigations: they do not depend on the graph."""
    techniques = dict.fromkeys(t for traffic in catalogue.classes for t in techniques_of(traffic))
    patterns = [
        stix2.AttackPattern(
            id=_technique_id(technique),
            name=technique.name,
            external_references=[_reference(technique.attack_id, technique.url)],
            **_made(_KIRL),
        )
        for technique in techniques
    ]
    return patterns + [_course_of_action(action) for action in catalogue.actions]


def _course_of_action(action: Mitigation) -> Any:  # noqa: ANN401 (stix2 is untyped)
    more = {}
    if action.attack_id is not None:
        more["external_references"] = [_reference(action.attack_id, action.url)]
    return stix2.CourseOfAction(id=_action_id(action), name=action.name, **more, **_made(_KIRL))


def _reference(attack_id: str, url: str | None) -> dict[str, str | None]:
    return {"source_name": source_name(attack_id), "external_id": attack_id, "url": url}


def _technique_id(technique: Technique) -> str:
    return _id("attack-pattern", "technique", technique.attack_id)


def _action_id(action: Mitigation) -> str:
    return _id("course-of-action", action.attack_id or "", action.name)


def _type_id(traffic: TrafficClass, fingerprint: str) -> str:
    kind = "attack-pattern" if techniques_of(traffic) else "note"
    return _id(kind, "type", fingerprint, traffic.name)


def _graph_objects(graph: KnowledgeGraph, fingerprint: str, at: datetime) -> list[Any]:
    """The graph's identity, its types with their techniques, and its experience."""
    owner = _id("identity", "graph", fingerprint)
    objects = [
        stix2.Identity(
            id=owner,
            name=f"kirl graph {fingerprint[:12]}",
            description=f"A knowledge graph over the scenario with fingerprint {fingerprint}.",
            identity_class="system",
            **_made(_KIRL),
        )
    ]
    for traffic in graph.catalogue.classes:
        objects += _type_objects(traffic, fingerprint, owner)
    for traffic, action, numbers in _edges(graph):
        remedy = techniques_of(traffic) and action.attack_id and numbers["reward"] > 0
        objects.append(
            stix2.Relationship(
                id=_id("relationship", "experience", fingerprint, traffic.name, action.name),
                relationship_type="mitigates" if remedy else "related-to",
                source_ref=_action_id(action),
                target_ref=_type_id(traffic, fingerprint),
                description=_sentence(traffic, action, numbers, graph.catalogue),
                extensions={EXTENSION_ID: {"extension_type": "property-extension", **numbers}},
                **_made(owner, at),
            )
        )
    return objects


def _type_objects(traffic: TrafficClass, fingerprint: str, owner: str) -> Iterator[Any]:
    labels, identifier = ", ".join(traffic.labels), _type_id(traffic, fingerprint)
    described = f"Network flows that kirl's detector takes for {traffic.name} ({labels})."
    techniques = techniques_of(traffic)
    if not techniques:
        yield stix2.Note(
            id=identifier,
            abstract=traffic.name,
            content=f"{described} No attack technique belongs to them.",
            object_refs=[owner],
            **_made(owner),
        )
        return
    yield stix2.AttackPattern(
        id=identifier, name=traffic.name, description=described, **_made(owner)
    )
    for technique in techniques:
        yield stix2.Relationship(
            id=_id("relationship", "technique", fingerprint, traffic.name, technique.attack_id),
            relationship_type="related-to",
            source_ref=identifier,
            target_ref=_technique_id(technique),
            **_made(owner),
        )


def _edges(graph: KnowledgeGraph) -> Iterator[tuple[TrafficClass, Mitigation, dict[str, Any]]]:
    """Every edge with experience, and the content of its extension."""
    counts, catalogue, lessons = graph.counts(), graph.catalogue, graph.lessons
    weight, reward = experience(counts, catalogue)
    flows = counts.type_action.sum(axis=2)
    learnt, earned = counts.type_evidence.sum(axis=2), reward_sums(counts, catalogue)
    for t, traffic in enumerate(catalogue.classes):
        for a, action in enumerate(catalogue.actions):
            if not weight[t, a] > 0:
                continue
            numbers: dict[str, Any] = {
                "traffic_type": traffic.name,
                "action": action.name,
                "reward": _mean(reward[t, a], weight[t, a], catalogue),
                "weight": float(weight[t, a]),
                "taught_share": float(1 - learnt[t, a] / weight[t, a]),
                "count": int(flows[t, a]),
            }
            if learnt[t, a] > 0:
                numbers["learnt_reward"] = _mean(earned[t, a], learnt[t, a], catalogue)
                numbers["learnt_weight"] = float(learnt[t, a])
            taught = [
                {"provenance": one.provenance, "reward": one.reward, "weight": one.weight}
                for one in sorted(lessons, key=lambda lesson: lesson.key)
                if (one.traffic, one.action) == (traffic.name, action.name)
            ]
            if taught:
                numbers["lessons"] = taught
            yield traffic, action, numbers


def _mean(total: float, weight: float, catalogue: Catalogue) -> float:
    # Dividing a rounded product can end a last digit above what anybody can earn.
    mean = float(total) / float(weight)
    return min(max(mean, catalogue.lowest_reward), catalogue.highest_reward)


def _sentence(
    traffic: TrafficClass, action: Mitigation, numbers: dict[str, Any], catalogue: Catalogue
) -> str:
    return (
        f"'{action.name}' earned {numbers['reward']:.2f} per flow of {traffic.name} "
        f"({numbers['weight']:g} flows, {numbers['taught_share']:.0%} of them taught; rewards go "
        f"from {catalogue.lowest_reward} to {catalogue.highest_reward})."
    )
