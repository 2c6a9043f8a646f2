from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import catalogue_file
from envs.catalogue import Catalogue
from envs.catalogue_draft import FILL_IN, Draft, draft
from envs.datasets.labels import Labelling
from envs.errors import InputError
from envs.spelling import label_key

MODEL = Catalogue.named("enterprise-network")


def of(*labels: str, benign: str | None = None) -> Draft:
    return draft("mine", {label: label for label in labels}, benign)


def read(folder: Path, text: str) -> Catalogue:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return Catalogue.read(path)


def test_known_attacks_get_their_mitigations_and_nothing_is_left_to_fill_in(tmp_path: Path) -> None:
    made = of("BENIGN", "ssh_bruteforce", "DoS Hulk")
    catalogue = read(tmp_path, made.text)

    assert made.open == ()
    assert FILL_IN not in made.text
    assert catalogue.class_names == ("BENIGN", "ssh_bruteforce", "DoS Hulk")
    assert catalogue.benign_class == "BENIGN"
    assert catalogue.actions == MODEL.actions
    own = catalogue.classes[1]
    like = MODEL.classes[MODEL.class_index("SSH Brute Force")]
    assert (own.ranking, own.technique, own.about) == (like.ranking, like.technique, like.about)


def test_what_nobody_can_know_is_marked_and_found_by_its_line(tmp_path: Path) -> None:
    made = of("Fine", "Zorp", "Attack")
    path = tmp_path / "mine.yaml"
    path.write_text(made.text)
    lines = made.text.splitlines()
    found = catalogue_file.faults(path)

    assert (made.benign, made.open) == (None, ("Fine", "Zorp", "Attack"))
    assert {fault.line for fault in found} == {
        number + 2 for number, line in enumerate(lines) if line.lstrip().startswith(FILL_IN)
    }
    filled = made.text.replace("benign: ''", "benign: Fine").replace("ranking: []", "ranking: [{}]")
    for name in (MODEL.no_action, "Filter Network Traffic", "Network Segmentation"):
        filled = filled.replace("{}", str(name), 1)
    assert read(tmp_path, filled).class_names == ("Fine", "Zorp", "Attack")


def test_a_misspelling_is_taken_for_what_it_is_like_and_marked() -> None:
    made = of("Normal", "Reconaissance", "DDoSS Hulk")

    assert [(one.like and one.like.name, one.sure) for one in made.classes] == [
        ("Benign", True),
        ("Scan", False),
        (None, True),
    ]
    assert "# Taken for Scan" in made.text


def test_the_benign_class_may_be_named() -> None:
    assert of("Fine", "DoS", benign="Fine").open == ()
    with pytest.raises(InputError, match=r"no label is called 'Bad'.*--benign"):
        of("Fine", benign="Bad")


def test_labels_are_merged_into_the_classes_that_are_given() -> None:
    made = draft("mine", {"ok": "Normal", "a": "DoS", "b": "DoS", "A-": "DoS"})

    assert [(one.name, one.labels) for one in made.classes] == [
        ("Normal", ("ok",)),
        ("DoS", ("a", "b")),
    ]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({}, "there are 0 classes"),
        ({str(number): str(number) for number in range(128)}, "there are 128 classes"),
        ({"a": "x", "A!": "y"}, "the label 'A!' is given the classes 'x' and 'y'"),
        ({"a\n": "x"}, "cannot stand in a catalogue"),
        ({"a": "x" * 101}, "the class 'xxx"),
        ({"": ""}, "the label '' cannot stand"),
    ],
)
def test_labels_of_which_no_catalogue_can_be_made(labels: dict[str, str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        draft("mine", labels)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique_by=label_key))
def test_any_labels_give_a_catalogue_once_it_is_filled_in(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str]
) -> None:
    try:
        made = draft("mine", {label: label for label in labels}, labels[0])
    except InputError:
        assert any(not label.isprintable() or label != label.strip() for label in labels)
        return
    text = made.text.replace("ranking: []", "ranking: [Filter Network Traffic]")
    catalogue = read(tmp_path_factory.mktemp("draft"), text)

    assert catalogue.class_names == tuple(labels)
    assert [label for one in catalogue.classes for label in one.labels] == labels
    assert Labelling(catalogue).resolve(labels[0])[0] in {0, -1}
