from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st

from envs import Catalogue, InteractionTable
from envs.catalogue import Mitigation, TrafficClass
from kg_actor import KnowledgeGraph, MergeKey
from kg_actor.attack import techniques_of
from kg_actor.lessons import Lesson
from kg_actor.stix import CREATED, EXTENSION_ID, to_stix

PAPER = Catalogue.named("paper")

DOS, BENIGN = PAPER.class_index("DoS"), PAPER.class_index("Benign")
FILTER, PASSWORDS, NOTHING = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "Password Policies", "No Action")
)
FINGERPRINT = "3f8a" * 16
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def graph() -> KnowledgeGraph:
    """Learnt: filtering DoS works, passwords do not; taught: auditing DoS, filtering it."""
    graph = KnowledgeGraph(np.array([DOS, BENIGN], np.int8), PAPER)
    rows = [
        (0, FILTER, DOS, 30),
        (0, FILTER, BENIGN, 10),
        (0, PASSWORDS, DOS, 5),
        (1, NOTHING, BENIGN, 9),
    ]
    graph.merge(InteractionTable.tally(*np.array(rows).T), MergeKey("run", 0, 0))
    graph.teach(
        [
            Lesson("DoS", "Audit", 1.0, 4.0, "analyst A"),
            Lesson("DoS", "Filter Network Traffic", 4.0, 10.0, "analyst B"),
            Lesson("DoS", "Filter Network Traffic", 5.0, 10.0, "analyst A"),
        ]
    )
    return graph


@pytest.fixture
def bundle(graph: KnowledgeGraph) -> Any:  # noqa: ANN401 (stix2 is untyped)
    return stix2.parse(to_stix(graph, FINGERPRINT, AT), allow_custom=False)


def by_name(bundle: Any, kind: str) -> dict[str, Any]:  # noqa: ANN401
    return {one.name: one for one in bundle.objects if one.type == kind}


def experience(bundle: Any) -> dict[tuple[str, str], Any]:  # noqa: ANN401
    """Relationships with the extension, by type and action."""
    found = {}
    for one in bundle.objects:
        if EXTENSION_ID in one.get("extensions", {}):
            numbers = one.extensions[EXTENSION_ID]
            found[numbers["traffic_type"], numbers["action"]] = one
    return found


def test_strict_parsing_needs_no_custom_content(bundle: Any) -> None:  # noqa: ANN401
    assert {type(one) for one in bundle.objects} == {
        stix2.v21.Identity,
        stix2.v21.ExtensionDefinition,
        stix2.v21.AttackPattern,
        stix2.v21.CourseOfAction,
        stix2.v21.Note,
        stix2.v21.Relationship,
    }


def test_every_reference_leads_to_an_object_of_the_bundle(bundle: Any) -> None:  # noqa: ANN401
    ids = [one.id for one in bundle.objects]
    named = [
        value
        for one in json.loads(bundle.serialize())["objects"]
        for key, values in one.items()
        if key.endswith(("_ref", "_refs"))
        for value in ([values] if isinstance(values, str) else values)
    ]

    assert len(set(ids)) == len(ids)
    assert named
    assert set(named) <= set(ids)


def test_types_lead_to_their_techniques(bundle: Any) -> None:  # noqa: ANN401
    patterns = by_name(bundle, "attack-pattern")
    names = {pattern.id: name for name, pattern in patterns.items()}
    found = {
        (names[one.source_ref], names[one.target_ref])
        for one in bundle.objects
        if one.type == "relationship" and one.source_ref in names
    }

    assert found == {(c.name, t.name) for c in PAPER.classes for t in techniques_of(c)}
    assert not patterns["DoS"].get("external_references")


def test_techniques_and_mitigations_have_attacks_ids_and_urls(bundle: Any) -> None:  # noqa: ANN401
    def reference(one: Any) -> tuple[str, str, str]:  # noqa: ANN401
        (found,) = one.external_references
        return found.source_name, found.external_id, found.url

    patterns, actions = by_name(bundle, "attack-pattern"), by_name(bundle, "course-of-action")
    assert reference(patterns["Password Guessing"]) == (
        "mitre-attack",
        "T1110.001",
        "https://attack.mitre.org/techniques/T1110/001/",
    )
    assert reference(actions["Audit"]) == (
        "mitre-attack",
        "M1047",
        "https://attack.mitre.org/mitigations/M1047/",
    )
    assert reference(actions["Input Validation"])[0] == "mitre-ics-attack"
    assert set(actions) == set(PAPER.action_names)
    assert not actions["No Action"].get("external_references")


def test_benign_traffic_is_no_attack_pattern(bundle: Any) -> None:  # noqa: ANN401
    (note,) = [one for one in bundle.objects if one.type == "note"]

    assert note.abstract == "Benign"
    assert "Benign" not in by_name(bundle, "attack-pattern")


def test_experience_by_hand(bundle: Any) -> None:  # noqa: ANN401
    found = experience(bundle)

    assert set(found) == {
        ("DoS", "Filter Network Traffic"),
        ("DoS", "Password Policies"),
        ("DoS", "Audit"),
        ("Benign", "No Action"),
    }
    assert found["DoS", "Filter Network Traffic"].extensions[EXTENSION_ID] == {
        "extension_type": "property-extension",
        "traffic_type": "DoS",
        "action": "Filter Network Traffic",
        "reward": pytest.approx((30 * 5 - 10 * 5 + 10 * 4 + 10 * 5) / 60),
        "weight": 60.0,
        "taught_share": pytest.approx(1 / 3),
        "count": 40,
        "learnt_reward": 2.5,
        "learnt_weight": 40.0,
        "lessons": [
            {"provenance": "analyst A", "reward": 5.0, "weight": 10.0},
            {"provenance": "analyst B", "reward": 4.0, "weight": 10.0},
        ],
    }
    audit = found["DoS", "Audit"].extensions[EXTENSION_ID]
    assert (audit["count"], audit["taught_share"]) == (0, 1.0)
    assert "learnt_reward" not in audit


def test_only_what_earned_more_than_nothing_against_an_attack_mitigates(
    bundle: Any,  # noqa: ANN401
) -> None:
    assert {edge: one.relationship_type for edge, one in experience(bundle).items()} == {
        ("DoS", "Filter Network Traffic"): "mitigates",
        ("DoS", "Audit"): "mitigates",
        ("DoS", "Password Policies"): "related-to",
        ("Benign", "No Action"): "related-to",
    }


def test_with_forgetting_the_faded_weight_stands_beside_the_exact_count() -> None:
    graph = KnowledgeGraph(np.array([DOS], np.int8), PAPER, half_life=8)
    for iteration in (0, 1):
        table = InteractionTable.tally([0], [FILTER], [DOS], [8])
        graph.merge(table, MergeKey("run", iteration, 0))

    (one,) = experience(stix2.parse(to_stix(graph, FINGERPRINT, AT))).values()
    numbers = one.extensions[EXTENSION_ID]
    assert (numbers["count"], numbers["learnt_weight"], numbers["learnt_reward"]) == (16, 12.0, 5)


def test_exporting_twice_gives_the_same_text(graph: KnowledgeGraph) -> None:
    assert to_stix(graph, FINGERPRINT, AT) == to_stix(graph, FINGERPRINT, AT)


def test_a_later_export_holds_newer_versions_of_the_same_objects(graph: KnowledgeGraph) -> None:
    later = AT.replace(year=2027)
    before, after = (
        {one.id: one for one in stix2.parse(to_stix(graph, FINGERPRINT, at)).objects}
        for at in (AT, later)
    )

    assert set(before) == set(after)
    for identifier, old in before.items():
        new = after[identifier]
        assert old.created == new.created
        changed = EXTENSION_ID in old.get("extensions", {})
        assert new.modified == (later if changed else old.modified)


def test_graphs_of_two_scenarios_share_attacks_objects_only(graph: KnowledgeGraph) -> None:
    first, second = (
        {one.id: one for one in stix2.parse(to_stix(graph, fingerprint, AT)).objects}
        for fingerprint in (FINGERPRINT, "0" * 64)
    )

    shared = [first[identifier] for identifier in set(first) & set(second)]
    assert {one.type for one in shared} == {
        "identity",
        "extension-definition",
        "attack-pattern",
        "course-of-action",
    }
    assert all(first[one.id].serialize() == second[one.id].serialize() for one in shared)
    assert not {one.name for one in shared} & set(PAPER.class_names)


def test_the_moment_defaults_to_now(graph: KnowledgeGraph) -> None:
    start = datetime.now(UTC).replace(microsecond=0)

    found = experience(stix2.parse(to_stix(graph, FINGERPRINT)))

    assert all(start <= one.modified <= datetime.now(UTC) for one in found.values())


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)])
def test_impossible_moment_is_refused(graph: KnowledgeGraph, at: datetime) -> None:
    assert datetime(2021, 6, 10, tzinfo=UTC) == CREATED
    with pytest.raises(ValueError, match="not be before 2021-06-10"):
        to_stix(graph, FINGERPRINT, at)


def test_an_empty_graph_is_a_bundle_without_experience() -> None:
    graph = KnowledgeGraph(np.array([DOS], np.int8), PAPER)

    assert experience(stix2.parse(to_stix(graph, FINGERPRINT, AT))) == {}


@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_name_survives(name: str) -> None:
    catalogue = Catalogue((TrafficClass(name, ("DDoS",), (0,)),), (Mitigation(name, "M1037"),))
    graph = KnowledgeGraph(np.zeros(1, np.int8), catalogue)
    graph.merge(InteractionTable.tally([0], [0], [0]), MergeKey("run", 0, 0))

    text = to_stix(graph, FINGERPRINT, AT)

    text.encode("utf-8")
    assert list(experience(stix2.parse(text))) == [(name, name)]


def test_no_mean_is_above_the_best_reward() -> None:
    weights = [float(w) for w in np.random.default_rng(0).uniform(1e-3, 1e3, 300)]
    lessons = [
        Lesson("DoS", "Audit", 5.0, weight, f"source {i}") for i, weight in enumerate(weights)
    ]
    graph = KnowledgeGraph(np.array([DOS], np.int8), PAPER)
    graph.teach(lessons)

    (one,) = experience(stix2.parse(to_stix(graph, FINGERPRINT, AT))).values()

    assert one.extensions[EXTENSION_ID]["reward"] == pytest.approx(5.0)
    assert one.extensions[EXTENSION_ID]["reward"] <= 5
