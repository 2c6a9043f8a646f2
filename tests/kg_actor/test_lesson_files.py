from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st

from envs import PAPER, InputError, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey
from kg_actor.export import Format, export
from kg_actor.graph import experience
from kg_actor.lesson_files import COLUMNS, MAX_BYTES, read_lessons
from kg_actor.lessons import MAX_WEIGHT, Lesson
from kg_actor.stix import EXTENSION_ID, to_stix

DOS = PAPER.class_index("DoS")
FINGERPRINT = "3f8a" * 16
HEADER = "type,action,reward,weight,provenance\n"
GRAPH_NAME = "kirl graph 3f8a3f8a3f8a"

printable = st.characters(categories=("L", "N", "P", "S"), include_characters=" ")
sources = st.builds(
    lambda first, rest: first + rest.rstrip(),
    st.characters(categories=("L", "Nd")),
    st.text(printable, max_size=99),
).filter(str.isprintable)
all_lessons = st.lists(
    st.builds(
        Lesson,
        st.sampled_from(PAPER.class_names),
        st.sampled_from(PAPER.action_names),
        st.floats(-5, 5),
        st.floats(1e-6, MAX_WEIGHT / 1e3),
        sources,
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda lesson: lesson.key,
)

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "lessons.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def in_any_order(lessons: list[Lesson]) -> list[Lesson]:
    return sorted(lessons, key=lambda lesson: lesson.key)


def outcome(path: Path) -> list[Lesson] | InputError:
    try:
        return read_lessons(path, PAPER)
    except InputError as error:
        return error


# CSV


def test_csv_by_hand(write: Write) -> None:
    path = write(
        "type,action,reward,weight,provenance\n"
        "DoS,Filter Network Traffic,4.5,100,SOC Vienna\n"
        'PortScan,Audit,-1,.5,"Feed, weekly"\n'
    )

    assert read_lessons(path, PAPER) == [
        Lesson("DoS", "Filter Network Traffic", 4.5, 100.0, "SOC Vienna"),
        Lesson("PortScan", "Audit", -1.0, 0.5, "Feed, weekly"),
    ]


def test_columns_names_and_ids_are_taken_as_people_write_them(write: Write) -> None:
    path = write(
        "\ufeffWeight, Action ,comment,TYPE,Reward,provenance\r\n"
        "1e2,m1047,seen in May,ssh-patator,+2,feed\r\n"
        "\r\n"
        " 3 ,no action,,BENIGN, 5. ,feed\r\n"
    )

    assert read_lessons(path, PAPER) == [
        Lesson("SSH-Patator", "Audit", 2.0, 100.0, "feed"),
        Lesson("Benign", "No Action", 5.0, 3.0, "feed"),
    ]


def test_a_given_provenance_replaces_the_files(write: Write) -> None:
    with_column = write(HEADER + "DoS,Audit,1,2,somebody else\n")
    assert read_lessons(with_column, PAPER, "me") == [Lesson("DoS", "Audit", 1.0, 2.0, "me")]

    without = write("type,action,reward,weight\nDoS,Audit,1,2\n")
    assert read_lessons(without, PAPER, "me") == [Lesson("DoS", "Audit", 1.0, 2.0, "me")]


@given(all_lessons)
def test_csv_written_from_lessons_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, lessons: list[Lesson]
) -> None:
    path = tmp_path_factory.mktemp("lessons") / "lessons.csv"

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for one in lessons:
            row = (one.traffic, one.action, repr(one.reward), repr(one.weight), one.provenance)
            writer.writerow(row)

    assert read_lessons(path, PAPER) == lessons


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "Dos5,Audit,1,2,x",
            r"row 2, column type: unknown traffic type 'Dos5'.*Did you mean 'DoS'",
        ),
        ("DoS,Audits,1,2,x", r"row 2, column action: unknown action 'Audits'.*you mean 'Audit'"),
        ("DoS,M9999,1,2,x", r"row 2, column action: unknown action 'M9999'.*Password Policies"),
        ("DoS,Audit,5.01,2,x", r"row 2, reward: reward is '5.01'.*-5 \.\. 5"),
        ("DoS,Audit,1e999,2,x", r"row 2, reward: reward is 'inf'"),
        ("DoS,Audit,nan,2,x", r"row 2, column reward: 'nan' is not a number"),
        ("DoS,Audit,1_0,2,x", r"column reward: '1_0' is not a number"),
        ("DoS,Audit,٣,2,x", r"column reward: '٣' is not a number"),
        ('DoS,Audit,"3,5",2,x', r"column reward: '3,5' is not a number.*point before decimals"),
        ("DoS,Audit,,2,x", r"column reward: '' is not a number"),
        ("DoS,Audit,1,0,x", r"row 2, weight: weight is '0.0'.*above 0"),
        ("DoS,Audit,1,-3,x", r"row 2, weight: weight is '-3.0'.*above 0"),
        ("DoS,Audit,1,1e300,x", r"row 2, weight: weight is '1e\+300'.*at most 1e\+15"),
        ("DoS,Audit,1,2,", r"row 2, provenance: provenance is ''.*begins with a letter"),
        ("DoS,Audit,1,2,=cmd|' /C calc'!A0", r"row 2, provenance: provenance is"),
        ("DoS,Audit,1,2,a\x00b", r"row 2, provenance: provenance is 'a\\x00b'"),
        ("DoS,Audit,1,2", r"row 2: has 4 cells.*5, as many as the header"),
        ("DoS,Audit,1,2,x,y", r"row 2: has 6 cells"),
        (f"{'D' * 201},Audit,1,2,x", r"column type: 'D{60}\.\.\.' has 201 characters"),
        (f"{'D' * 200_000},Audit,1,2,x", r"line 2: has more than 10,000 characters in a line"),
        ("," * 10_000, r"line 2: has more than 10,000 characters in a line"),
        ('"' + "D\n" * 100_000 + '",Audit,1,2,x', r"row 2: is not CSV \(field larger"),
        ('DoS,"Audit"s,1,2,x', r"row 2: is not CSV"),
        ('DoS,"Audit,1,2,x', r"row 2: is not CSV"),
        (
            "DoS,Audit,1,2,x\n\nDDoS,Audit,1,2,x\ndos,m1047,3,4,x",
            r"row 5: teaches 'DoS' and 'Audit' by 'x' again, as row 2 does",
        ),
    ],
)
def test_bad_row_is_named_with_its_column_and_how_to_mend_it(
    write: Write, row: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_lessons(write(f"{HEADER}{row}\n"), PAPER)

    assert caught.value.expected
    assert caught.value.mend
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("type,action,reward,weight", r"row 1: has no column provenance.*give a provenance for"),
        ("type,act,reward", r"row 1: has no column action, weight, provenance"),
        ("type;action;reward;weight;provenance", r"Separate the cells by commas"),
        ("type,type,action,reward,weight,provenance", r"has the column type 2 times"),
        ("DoS,Audit,1,2,x", r"has no column type.*header with type, action, reward, weight"),
    ],
)
def test_bad_header_is_refused(write: Write, header: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_lessons(write(f"{header}\nDoS,Audit,1,2,x\n"), PAPER)


def test_duplicates_under_a_given_provenance_are_refused(write: Write) -> None:
    path = write(HEADER + "DoS,Audit,1,2,a\nDoS,Audit,3,2,b\n")
    assert len(read_lessons(path, PAPER)) == 2

    with pytest.raises(InputError, match=r"row 3: teaches .* by 'me' again, as row 2 does"):
        read_lessons(path, PAPER, "me")


# Files of any format


@pytest.mark.parametrize("content", [b"", b"\n  \n", b"\xef\xbb\xbf"])
def test_empty_file_is_refused(write: Write, content: bytes) -> None:
    with pytest.raises(InputError, match=r"lessons\.txt: is empty.*type,action,reward"):
        read_lessons(write(content), PAPER)


@pytest.mark.parametrize("content", [HEADER, '{"type": "bundle", "objects": []}'])
def test_file_without_lessons_is_refused(write: Write, content: str) -> None:
    with pytest.raises(InputError, match="holds no lesson"):
        read_lessons(write(content), PAPER)


def test_wrong_encoding_is_named_with_its_row(write: Write) -> None:
    row = "DoS,Audit,1,2,Büro\n"
    with pytest.raises(InputError, match=r"row 2: byte 52 is not UTF-8.*CSV UTF-8"):
        read_lessons(write(HEADER.encode() + row.encode("cp1252")), PAPER)
    with pytest.raises(InputError, match=r"row 1: byte 0 is not UTF-8"):
        read_lessons(write((HEADER + row).encode("utf-16")), PAPER)


def test_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lessons.csv"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse: takes no room on disk

    with pytest.raises(InputError, match="is larger than 64 MiB"):
        read_lessons(path, PAPER)


def test_too_many_lessons_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kg_actor.lesson_checks.MAX_LESSONS", 3)
    rows = "".join(f"DoS,Audit,1,2,source {i}\n" for i in range(4))

    with pytest.raises(InputError, match="more than 3 lessons"):
        read_lessons(write(HEADER + rows), PAPER)


def test_too_many_rows_are_refused(write: Write) -> None:
    with pytest.raises(InputError, match="line 1048577: has more than 1,048,576 lines"):
        read_lessons(write(HEADER + "\n" * 2**20), PAPER)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening it would wait for a writer for ever

    for path, message in (
        (tmp_path, "is not a file"),
        (pipe, "is not a file"),
        (tmp_path / "absent", "cannot be read .No such file"),
        (tmp_path / "a\x00b", "cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            read_lessons(path, PAPER)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"default_reward": 7.0}, r"default reward 7.0 is out of range.*-5 \.\. 5"),
        ({"default_weight": 0.0}, "default weight 0.0 is out of range"),
        ({"default_weight": float("nan")}, "default weight nan is out of range"),
    ],
)
def test_bad_defaults_are_refused(write: Write, more: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_lessons(write(HEADER), PAPER, **more)  # type: ignore[arg-type]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (HEADER + text).encode()))
def test_any_content_gives_lessons_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "lessons"
    path.write_bytes(content)

    result = outcome(path)
    assert str(path) in str(result) if isinstance(result, InputError) else result


# STIX from another graph


@pytest.fixture
def taught() -> KnowledgeGraph:
    """Filtering DoS: 40 flows learnt at 2.5, two sources; auditing DoS: taught only."""
    graph = KnowledgeGraph(np.array([DOS], np.int8), PAPER)
    graph.merge(
        InteractionTable.tally([0, 0], [0, 0], [DOS, PAPER.class_index("Benign")], [30, 10]),
        MergeKey("run", 0, 0),
    )
    graph.teach(
        [
            Lesson("DoS", "Filter Network Traffic", 4.0, 10.0, "analyst B"),
            Lesson("DoS", "Filter Network Traffic", 5.0, 10.0, "analyst A"),
            Lesson("DoS", "Audit", 1.0, 4.0, "analyst A"),
        ]
    )
    return graph


def test_another_graphs_export_teaches_what_it_learnt_and_was_taught(
    taught: KnowledgeGraph, tmp_path: Path
) -> None:
    export(taught, tmp_path / "graph.json", Format.STIX, FINGERPRINT)

    assert in_any_order(read_lessons(tmp_path / "graph.json", PAPER)) == [
        Lesson("DoS", "Audit", 1.0, 4.0, "analyst A"),
        Lesson("DoS", "Filter Network Traffic", 5.0, 10.0, "analyst A"),
        Lesson("DoS", "Filter Network Traffic", 4.0, 10.0, "analyst B"),
        Lesson("DoS", "Filter Network Traffic", 2.5, 40.0, GRAPH_NAME),
    ]


def test_under_a_given_provenance_an_edges_sources_become_one_lesson(
    taught: KnowledgeGraph, write: Write
) -> None:
    path = write(to_stix(taught, FINGERPRINT))

    assert in_any_order(read_lessons(path, PAPER, "SOC Graz")) == [
        Lesson("DoS", "Audit", 1.0, 4.0, "SOC Graz"),
        Lesson("DoS", "Filter Network Traffic", (100 + 40 + 50) / 60, 60.0, "SOC Graz"),
    ]


def test_sources_that_agree_on_the_best_reward_pool_to_no_more(write: Write) -> None:
    weights = [float(w) for w in np.random.default_rng(0).uniform(1e-3, 1e3, 300)]
    for count in range(2, 300, 7):
        taught = [{"provenance": "x", "reward": 5, "weight": w} for w in weights[:count]]

        (lesson,) = read_lessons(write(own({**EDGE, "lessons": taught})), PAPER, "SOC Graz")

        assert lesson.reward == pytest.approx(5.0)


rows = st.tuples(st.integers(0, 2), st.integers(0, 14), st.integers(0, 7), st.integers(1, 10**9))


@given(st.lists(rows, max_size=8), all_lessons, st.none() | st.just("SOC Graz"))
def test_a_graph_taught_by_an_export_has_the_same_experience(
    tmp_path_factory: pytest.TempPathFactory,
    merged: list[tuple[int, int, int, int]],
    lessons: list[Lesson],
    provenance: str | None,
) -> None:
    graph, pupil = (KnowledgeGraph(np.array([1, 2, 6], np.int8), PAPER) for _ in range(2))
    table = InteractionTable.tally(*np.array(merged, np.int64).reshape(-1, 4).T)
    graph.merge(table, MergeKey("run", 0, 0))
    graph.teach(lessons)
    path = tmp_path_factory.mktemp("stix") / "bundle.json"
    path.write_text(to_stix(graph, FINGERPRINT))

    read = read_lessons(path, PAPER, provenance)
    pupil.teach(read)

    assert {lesson.provenance for lesson in read} <= (
        {"SOC Graz"} if provenance else {lesson.provenance for lesson in lessons} | {GRAPH_NAME}
    )
    weight, reward = experience(graph.counts(), PAPER)
    learnt_weight, learnt_reward = experience(pupil.counts(), PAPER)
    assert learnt_weight == pytest.approx(weight, rel=1e-12)
    assert learnt_reward == pytest.approx(reward, rel=1e-9, abs=1e-9 * float(weight.max()))


def own(numbers: Any, **more: Any) -> str:  # noqa: ANN401
    """A bundle of one relationship with the extension."""
    relationship = {
        "type": "relationship",
        "id": "relationship--1",
        "extensions": {EXTENSION_ID: numbers},
    }
    return json.dumps({"type": "bundle", "objects": [relationship | more]})


EDGE = {"traffic_type": "DoS", "action": "Audit"}
TAUGHT = {"provenance": "x", "reward": 1, "weight": 2}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([], "extension: this is missing or not an object"),
        ({"action": "Audit"}, "traffic_type is missing or not text"),
        ({**EDGE, "traffic_type": "Dos5"}, "unknown traffic type 'Dos5'.*Did you mean 'DoS'"),
        ({**EDGE, "action": "x" * 10**6}, "unknown action 'x{60}"),
        ({**EDGE, "lessons": {}}, "lessons is missing or not a list"),
        ({**EDGE, "lessons": [1]}, "lesson 1: this is missing or not an object"),
        ({**EDGE, "lessons": [{**TAUGHT, "reward": "1"}]}, "lesson 1: reward is missing or not a"),
        ({**EDGE, "lessons": [{**TAUGHT, "reward": True}]}, "lesson 1: reward is missing or not"),
        ({**EDGE, "lessons": [{**TAUGHT, "reward": 6}]}, "lesson 1, reward: reward is '6.0'"),
        ({**EDGE, "lessons": [{**TAUGHT, "weight": 10**400}]}, "lesson 1, weight: weight is '1000"),
        ({**EDGE, "lessons": [{**TAUGHT, "provenance": "=x"}]}, "lesson 1, provenance: prov"),
        ({**EDGE, "lessons": [TAUGHT, TAUGHT]}, "teaches 'DoS' and 'Audit' by 'x' again, as obj"),
        ({**EDGE, "learnt_weight": 3, "learnt_reward": 1}, "names no source.*Give a provenance"),
    ],
)
def test_bad_extension_is_named_with_its_object(write: Write, numbers: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(InputError, match=rf"object 1 \('relationship--1'\).*{message}") as caught:
        read_lessons(write(own(numbers)), PAPER)

    assert caught.value.mend
    assert len(str(caught.value)) < 1000


def test_revoked_experience_is_passed_over(write: Write) -> None:
    numbers = {**EDGE, "lessons": [TAUGHT]}
    assert len(read_lessons(write(own(numbers)), PAPER)) == 1

    with pytest.raises(InputError, match="holds no lesson"):
        read_lessons(write(own(numbers, revoked=True)), PAPER)


@pytest.mark.parametrize("newest_first", [True, False])
def test_of_two_versions_the_newer_counts(write: Write, newest_first: bool) -> None:
    objects = []
    for modified, reward in (("2026-01-01T00:00:00Z", 1), ("2026-01-01T00:00:00.5Z", 2)):
        numbers = {**EDGE, "lessons": [{**TAUGHT, "reward": reward}]}
        objects += json.loads(own(numbers, modified=modified))["objects"]
    if newest_first:
        objects.reverse()

    path = write(json.dumps({"type": "bundle", "objects": objects}))

    assert read_lessons(path, PAPER) == [Lesson("DoS", "Audit", 2.0, 2.0, "x")]


# STIX from a threat feed


def feed(*pairs: tuple[str, str], by: bool = True) -> str:
    """A bundle in which mitigations mitigate techniques, as ATT&CK's own data says it."""
    maker = stix2.Identity(name="Example Feed", identity_class="organization")
    objects: list[Any] = [maker]
    more = {"created_by_ref": maker.id} if by else {}
    for mitigation, technique in pairs:
        action, pattern = (
            kind(
                name=attack_id,
                external_references=[
                    {"source_name": "capec", "external_id": "CAPEC-1"},
                    {"source_name": "mitre-attack", "external_id": attack_id},
                ],
            )
            for kind, attack_id in (
                (stix2.CourseOfAction, mitigation),
                (stix2.AttackPattern, technique),
            )
        )
        objects += [action, pattern, stix2.Relationship(action, "mitigates", pattern, **more)]
    return str(stix2.Bundle(objects).serialize())


def test_a_feeds_mitigations_count_with_the_defaults(write: Write) -> None:
    path = write(feed(("M1037", "T1498"), ("M9999", "T1498"), ("M1037", "T9999")))

    assert read_lessons(path, PAPER) == [
        Lesson("DDoS", "Filter Network Traffic", 3.0, 10.0, "Example Feed")
    ]
    assert read_lessons(path, PAPER, "feed", default_reward=4.5, default_weight=2.0) == [
        Lesson("DDoS", "Filter Network Traffic", 4.5, 2.0, "feed")
    ]


@pytest.mark.parametrize("technique", ["T1110", "T1110.001", "T1110.003"])
def test_a_technique_counts_for_every_type_that_stands_for_it_or_a_part_of_it(
    write: Write, technique: str
) -> None:
    lessons = read_lessons(write(feed(("M1032", technique))), PAPER)

    assert in_any_order(lessons) == [
        Lesson(traffic, "Multi-factor Authentication", 3.0, 10.0, "Example Feed")
        for traffic in ("FTP-Patator", "SSH-Patator", "Web")
    ]


def test_what_a_feed_says_of_several_sub_techniques_is_one_lesson(write: Write) -> None:
    path = write(feed(("M1037", "T1499"), ("M1037", "T1499.002"), ("M1037", "T1499.003")))

    assert read_lessons(path, PAPER) == [
        Lesson("DoS", "Filter Network Traffic", 3.0, 10.0, "Example Feed")
    ]


def test_a_feed_without_a_source_needs_one_given(write: Write) -> None:
    path = write(feed(("M1037", "T1498"), by=False))

    with pytest.raises(InputError, match=r"object 4 .*names no source.*Give a provenance"):
        read_lessons(path, PAPER)
    assert len(read_lessons(path, PAPER, "feed")) == 1


@pytest.mark.parametrize("index", [1, 2, 3])
def test_revoked_objects_of_a_feed_are_passed_over(write: Write, index: int) -> None:
    bundle = json.loads(feed(("M1037", "T1498")))
    bundle["objects"][index]["revoked"] = True

    with pytest.raises(InputError, match="holds no lesson"):
        read_lessons(write(json.dumps(bundle)), PAPER)


def test_only_mitigates_counts_and_only_from_action_to_technique(write: Write) -> None:
    bundle = json.loads(feed(("M1037", "T1498")))
    relationship = bundle["objects"][3]
    ends = relationship["source_ref"], relationship["target_ref"]

    for change in (
        {"relationship_type": "related-to"},
        {"source_ref": ends[1], "target_ref": ends[0]},
        {"target_ref": "attack-pattern--absent"},
        {"target_ref": [ends[1]]},
    ):
        changed = [*bundle["objects"][:3], relationship | change]
        with pytest.raises(InputError, match="holds no lesson"):
            read_lessons(write(json.dumps({**bundle, "objects": changed})), PAPER)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"a": NaN}', r"is not JSON \(NaN is not a JSON number"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ("[]", "is JSON, but not STIX"),
        ('{"type": "indicator"}', "is JSON, but not STIX"),
        ('{"type": "bundle", "objects": {}}', "is JSON, but not STIX"),
        ('{"type": "bundle"}', "is JSON, but not STIX"),
        ('{"type": "bundle", "objects": [{"id": "a"}, 7]}', "object 2: has no id"),
        ('{"type": "bundle", "objects": [{"id": ["a"]}]}', "object 1: has no id"),
    ],
)
def test_what_is_not_stix_is_refused(write: Write, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_lessons(write(text), PAPER)

    assert len(str(caught.value)) < 500


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("mitigates"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(st.integers(0, 3), st.data())
def test_any_damage_to_a_bundle_gives_lessons_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, index: int, data: st.DataObject
) -> None:
    bundle = json.loads(feed(("M1037", "T1498")))
    bundle["objects"][3]["extensions"] = {EXTENSION_ID: {**EDGE, "lessons": [TAUGHT]}}
    damaged = bundle["objects"][index]
    damaged[data.draw(st.sampled_from(sorted(damaged)))] = data.draw(json_values)
    path = tmp_path_factory.mktemp("damaged") / "bundle.json"
    path.write_text(json.dumps(bundle))

    result = outcome(path)
    assert str(path) in str(result) if isinstance(result, InputError) else result


def test_the_time_of_an_export_does_not_matter(taught: KnowledgeGraph, write: Write) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    early = read_lessons(write(to_stix(taught, FINGERPRINT, at)), PAPER)
    late = read_lessons(write(to_stix(taught, FINGERPRINT)), PAPER)

    assert early == late
