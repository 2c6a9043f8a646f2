"""Files that say what labels mean, and the file to fill in that a message prints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.catalogue import Catalogue
from envs.datasets.label_files import check_labels, is_mapping, read_labels
from envs.datasets.labels import Labelling, is_missing
from envs.datasets.source import Tally
from envs.errors import InputError
from envs.spelling import label_key

PAPER = Catalogue.named("paper")


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.yaml", "DoS attacks: DoS\n0: Benign\n'Worm – A': drop\n"),
        ("labels.txt", "DoS attacks: DoS\n0: Benign\n'Worm – A': drop\n"),
        ("labels.csv", "label,class\nDoS attacks,DoS\n0,Benign\n\nWorm – A,drop\n"),
        ("labels.csv", "Label;Class\r\nDoS attacks;DoS\r\n0;Benign\r\nWorm – A;drop\r\n"),
        ("labels.tsv", '\ufefflabel\tclass\n"DoS attacks"\tDoS\n0\tBenign\nWorm – A\tdrop\n'),
    ],
)
def test_yaml_and_csv_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    path = written(tmp_path / name, text)

    found = read_labels([path], PAPER)

    assert found == {"DoS attacks": "DoS", "0": "Benign", "Worm – A": "drop"}
    labelling = Labelling(PAPER, found)
    assert PAPER.class_names[labelling.resolve("dos_ATTACKS")[0]] == "DoS"
    assert is_mapping(path) == (name != "labels.txt")


def test_several_files_are_put_together(tmp_path: Path) -> None:
    one = written(tmp_path / "1.yaml", "Worm: drop\nScan: PortScan\n")
    two = written(tmp_path / "2.csv", "label,class\nworm,drop\nother,DoS\n")
    assert read_labels([one, two], PAPER) == {"Worm": "drop", "Scan": "PortScan", "other": "DoS"}
    assert read_labels([], PAPER) == {}


@pytest.mark.parametrize(
    ("name", "text", "line", "what", "mend"),
    [
        ("a.yaml", "A: DoS\nB: Dos\n", 2, "has no class 'Dos'", "Did you mean 'DoS'?"),
        ("a.yaml", "A: DoS\nB: '?'\n", 2, "'B' has no class yet", "in place of '?'"),
        ("a.yaml", "A: DoS\nB:\n", 2, "'B' has no class yet", "in place of '?'"),
        ("a.yaml", "A: [DoS]\n", 1, "'A' has no class's name beside it", "label: class"),
        ("a.yaml", "A: true\n", 1, "'A' has no class's name beside it", "needs quotes"),
        ("a.yaml", "A: DoS\na: DDoS\n", 2, "'a' is given the class 'DDoS'", "Remove one"),
        ("a.yaml", "A: &x DoS\n", 1, "anchors and aliases", "Write the value out"),
        ("a.csv", "label,class\nA,DoS\nB\n", 3, "the row has 1 cells", "Correct the row"),
        ("a.csv", "label,class\nA,DoS\nB,\n", 3, "'B' has no class yet", "in place of ''"),
    ],
)
def test_a_fault_is_told_with_its_line(
    tmp_path: Path, name: str, text: str, line: int, what: str, mend: str
) -> None:
    path = written(tmp_path / name, text)
    with pytest.raises(InputError) as caught:
        read_labels([path], PAPER)
    assert what in caught.value.what
    assert str(caught.value.where).startswith(f"{path}, line {line}")
    assert mend in str(caught.value.mend)


@pytest.mark.parametrize("text", ["- A\n- B\n", "just text\n"])
def test_a_file_that_says_something_else(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="does not say what labels mean"):
        read_labels([written(tmp_path / "a.yaml", text)], PAPER)


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_labels([tmp_path / "none.csv"], PAPER)
    large = written(tmp_path / "large.csv", "label,class\n" + "A,DoS\n" * 200_000)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read_labels([large], PAPER)


def unknown(labels: list[str], labelling: Labelling) -> InputError:
    tally = Tally(unknown=Counter(labels), first=dict.fromkeys(labels, ("day.csv", 2)))
    with pytest.raises(InputError) as caught:
        check_labels(tally, labelling, "Label")
    assert len(str(caught.value)) < 2_000
    return caught.value


@settings(max_examples=40, deadline=None)
@given(labels=st.lists(st.text(max_size=30), min_size=1, max_size=6, unique=True))
def test_the_file_that_a_message_prints_can_be_filled_in_and_is_understood(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str]
) -> None:
    labelling = Labelling(PAPER)
    labels = [one for one in labels if not is_missing(one) and labelling.resolve(one)[0] < 0]
    if not labels:
        return
    error = unknown(labels, labelling)
    text = str(error.below).replace('"?"', "Web")
    path = written(tmp_path_factory.mktemp("labels") / "labels.yaml", text)

    filled = Labelling(PAPER, read_labels([path], PAPER))

    assert all(filled.resolve(label)[0] >= 0 for label in labels)


def test_many_and_long_labels_are_told_within_bounds() -> None:
    labels = [f"label {number}" for number in range(900)] + ["x" * 5000, "\x1b[2J"]
    error = unknown(labels, Labelling(PAPER))
    below = str(error.below)
    assert "and 897 more" in error.what
    assert len(below.splitlines()) == 202
    assert below.endswith("# 702 more labels are not listed here.")
    assert "\x1b" not in below
    assert "x" * 300 not in below


def test_a_catalogue_that_knows_all_labels_is_named() -> None:
    error = unknown(["SSH-Bruteforce", "Infilteration", "Brute Force -Web"], Labelling(PAPER))
    assert "--catalogue cse-cic-ids2018" in str(error.mend)


def test_spellings_of_one_label_are_listed_once() -> None:
    tally = Tally(
        unknown=Counter({"Worm-A": 3, "worm a": 4, "Virus": 5}),
        first={"Worm-A": ("a.csv", 9), "worm a": ("a.csv", 4), "Virus": ("a.csv", 2)},
    )
    with pytest.raises(InputError) as caught:
        check_labels(tally, Labelling(PAPER), "")
    assert "'Worm-A' (7 flows), 'Virus' (5 flows)" in caught.value.what
    assert caught.value.where == "a.csv, row 9"
    assert label_key("Worm-A") == label_key("worm a")


def test_what_attempted_attacks_mean_must_have_an_effect() -> None:
    tally = Tally(rows=3, labels=Counter({"DDoS": 3}))
    check_labels(tally, Labelling(PAPER, attempted="drop"), "Label")
    with pytest.raises(InputError, match="--attempted drop has no effect"):
        check_labels(tally, Labelling(PAPER, attempted="drop", insists=True), "Label")
    tally.attempted = 1
    check_labels(tally, Labelling(PAPER, attempted="drop", insists=True), "Label")
