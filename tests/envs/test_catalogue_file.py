from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import catalogue_file
from envs.catalogue import Catalogue
from envs.errors import InputError

GOOD = """\
name: small
benign: Calm
no_action: Wait
rewards: {top: 2, miss: -1}
mitigations:
  - name: Block
    attack_id: M1037
    scope: ip
    undo: true
    duration: 90s
    openc2: deny
  - {name: Wait, scope: none, undo: false}
classes:
  - name: Calm
    labels: [calm]
    ranking: [Wait]
  - name: Flood
    labels: [flood, deluge]
    ranking: [Block, Wait]
    also: [Torrent]
    technique: T1498.001
    about: Much.
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "small.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(folder: Path, text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        Catalogue.read(written(folder, text))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_000
    return caught.value


def test_a_file_is_a_catalogue(tmp_path: Path) -> None:
    catalogue = Catalogue.find(str(written(tmp_path, GOOD)))

    assert catalogue.name == "small"
    assert catalogue.class_names == ("Calm", "Flood")
    assert catalogue.classes[1].labels == ("flood", "deluge")
    assert catalogue.rewards.tolist() == [[-1, 2], [2, 1]]
    block, wait = catalogue.actions
    assert (block.attack_id, block.scope, block.undo, block.duration) == ("M1037", "ip", True, 90)
    assert (wait.attack_id, wait.scope, wait.undo, wait.duration) == (None, "none", False, None)
    assert (catalogue.benign, catalogue.inaction) == (0, 1)
    flood = catalogue.classes[1]
    assert (flood.also, flood.technique, flood.about) == (("Torrent",), ("T1498.001",), "Much.")
    calm = catalogue.classes[0]
    assert (calm.also, calm.technique, calm.about) == ((), (), None)


def test_words_that_yaml_takes_for_something_else_stay_words(tmp_path: Path) -> None:
    text = GOOD.replace("calm", "no").replace("flood", "2024-01-02").replace("deluge", "1_000")
    catalogue = Catalogue.read(written(tmp_path, text))

    assert catalogue.classes[0].labels == ("no",)
    assert catalogue.classes[1].labels == ("2024-01-02", "1_000")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("scope: ip", "scope: planet", 8, "'planet' does not fit here. Expected one of ip, range"),
        ("undo: true", "undo: 1", 9, "1 does not fit here. Expected true if"),
        ("duration: 90s", "duration: 90", 10, "90 does not fit here. Expected a time such as"),
        ("duration: 90s", "duration: 0s", 10, "'0s' does not fit"),
        ("openc2: deny", "openc2: nuke", 11, "'nuke' does not fit here. Expected one of scan"),
        ("attack_id: M1037", "attack_id: 1037", 7, "1037 does not fit here. Expected the id of"),
        ("    scope: ip\n", "", 6, "'scope' is missing. Expected one of ip"),
        ("openc2:", "open_c2:", 11, "unknown key 'open_c2'.*Did you mean 'openc2'"),
        ("benign: Calm", "benign: Clam", 2, "no class is called 'Clam'.*Did you mean 'Calm'"),
        ("no_action: Wait", "no_action: Block", 2, "the best action for Calm is Wait"),
        ("[Block, Wait]", "[Blok]", 19, "no mitigation is called 'Blok'.*Did you mean 'Block'"),
        ("[Block, Wait]", "[Block, Block]", 19, "'Block' is ranked twice"),
        ("[Block, Wait]", "[]", 19, "does not fit here. Expected a list of mitigations"),
        ("ranking: [Block, Wait]", "{}", 19, "not YAML"),
        ("    ranking: [Block, Wait]\n", "", 17, "Flood has neither ranking nor rewards"),
        ("[Block, Wait]", "[Block]\n    rewards: {Block: 1}", 17, "Flood has both"),
        ("ranking: [Block, Wait]", "rewards: {Block: 1.5}", 19, "1.5 does not fit here.*100"),
        ("ranking: [Block, Wait]", "rewards: {Block: 101}", 19, "101 does not fit here"),
        ("ranking: [Block, Wait]", "rewards: {Blok: 1}", 19, "no mitigation is called 'Blok'"),
        ("labels: [flood, deluge]", "labels: [calm]", 18, "'calm' belongs to Calm already"),
        ("labels: [flood, deluge]", "labels: [f-l, F l]", 18, "'F l' belongs to Flood already, as"),
        ("also: [Torrent]", "also: [CALM]", 20, "'CALM' belongs to Calm already, as 'calm'"),
        ("also: [Torrent]", "also: Torrent", 20, "'Torrent' does not fit here.*further labels"),
        ("T1498.001", "M1037", 21, "'M1037' does not fit here.*ATT&CK technique, such as T1046"),
        ("T1498.001", "[T1, T1046]", 21, r"technique\[0\]: 'T1' does not fit here"),
        ("about: Much.", "about: 7", 22, "7 does not fit here. Expected one sentence"),
        ("labels: [flood, deluge]", "labels: flood", 18, "'flood' does not fit here"),
        ("name: Flood", "name: Calm", 17, "'Calm' is the name of two entries"),
        ("name: Flood", 'name: "a\\nb"', 17, "does not fit here. Expected a text of 1 to 100"),
        ("{top: 2, miss: -1}", "{top: 2}", 4, "nothing says what it earns"),
        ("{top: 2, miss: -1}", "{top: 2, miss: 1}", 19, "the last of 2 ranks would earn 1"),
        ("undo: true\n    duration: 90s", "undo: true", 9, "can be undone, but has no duration"),
        ("undo: true", "undo: false", 9, "cannot be undone, but has a duration"),
        ("name: small", "name: &x small", 1, "anchors and aliases"),
        ("name: small", "name: !!python/name:os.system small", 1, "tags"),
        ("benign: Calm", "name: small", 2, "'name' stands here again; it is in line 1 already"),
        ("benign: Calm", "? [a]\n: b", 2, "a key is no text"),
        ("name: small", "name: 'small", 1, "not YAML"),
        ("name: small", "name: " + "[" * 40 + "]" * 40, 1, "more than 12 levels"),
    ],
)
def test_what_does_not_fit_is_told_by_its_line(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert GOOD.count(old) >= 1
    error = refusal(tmp_path, GOOD.replace(old, new, 1))

    assert "line" in str(error.where)
    if "not YAML" not in said:
        assert f"small.yaml, line {line}" in str(error.where)
    assert re.search(said, str(error)), str(error)


def told(folder: Path, text: str) -> list[tuple[int, str, str]]:
    """Line, field and words of every fault."""
    found = catalogue_file.faults(written(folder, text))
    assert all(str(fault.error.where).endswith(fault.field) for fault in found)
    return [(fault.line, fault.field, fault.error.what) for fault in found]


def test_everything_that_does_not_fit_is_told_at_once_in_order_of_lines(tmp_path: Path) -> None:
    text = (
        GOOD.replace("benign: Calm", "benign: Clam")
        .replace("duration: 90s", "duration: soon")
        .replace("{name: Wait,", "{name: Wait, shape: round,")
        .replace("[calm]", "[calm, Flood!]")
        .replace("[Block, Wait]", "[Blok, Wait, Wait]")
    )

    assert (
        told(tmp_path, text)
        == [
            (2, "benign", "no class is called 'Clam'"),
            (10, "mitigations[0].duration", "'soon' does not fit here"),
            (12, "mitigations[1].shape", "unknown key 'shape'"),
            (18, "classes[1].labels[0]", "label 'flood' belongs to Calm already, as 'Flood!'"),
            (19, "classes[1].ranking[0]", "no mitigation is called 'Blok'"),
            (19, "classes[1].ranking[2]", "'Wait' is ranked twice"),
            (19, "classes[1].ranking", "the last of 3 ranks would earn 0"),
        ][:6]
    )
    assert "tells 5 more faults" in str(refusal(tmp_path, text))
    assert told(tmp_path, GOOD) == []


def test_a_fault_is_not_told_again_wherever_the_name_is_used(tmp_path: Path) -> None:
    text = GOOD.replace("scope: ip", "scope: planet").replace("labels: [calm]", "labels: calm")

    assert [fault[1] for fault in told(tmp_path, text)] == [
        "mitigations[0].scope",
        "classes[0].labels",
    ]
    without = GOOD[: GOOD.index("mitigations:")] + GOOD[GOOD.index("classes:") :]
    assert told(tmp_path, without) == [(1, "mitigations", "'mitigations' is missing")]
    assert [fault[1] for fault in told(tmp_path, GOOD.replace("top: 2", "top: two"))] == [
        "rewards.top"
    ]


def test_so_many_faults_and_no_more_are_looked_for(tmp_path: Path) -> None:
    ranking = ", ".join(f"Block{number}" for number in range(5_000))

    found = told(tmp_path, GOOD.replace("[Block, Wait]", f"[{ranking}]"))
    assert len(found) == catalogue_file.MOST_FAULTS


def test_explicit_rewards_need_one_for_every_mitigation_or_a_miss(tmp_path: Path) -> None:
    text = GOOD.replace("rewards: {top: 2, miss: -1}\n", "").replace(
        "ranking: [Wait]", "rewards: {Wait: 4, Block: 0}"
    )
    partial = text.replace("ranking: [Block, Wait]", "rewards: {Block: 1}")
    assert "'Wait' has no reward" in refusal(tmp_path, partial).what

    whole = text.replace("ranking: [Block, Wait]", "rewards: {Block: 1, Wait: -3}")
    assert Catalogue.read(written(tmp_path, whole)).rewards.tolist() == [[0, 4], [1, -3]]


def test_a_catalogue_in_which_nothing_differs_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("ranking: [Wait]", "rewards: {Block: 1, Wait: 1}").replace(
        "ranking: [Block, Wait]", "rewards: {Block: 1, Wait: 1}"
    )
    text = text.replace("no_action: Wait", "no_action: Block")
    assert "every action earns 1" in refusal(tmp_path, text).what


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"- a\n", "does not fit here. Expected a mapping with the keys name, benign"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a: \x00", "is not YAML"),
        (b"a: b\n---\nc: d\n", "is not YAML"),
        (b"a: [" + b"0," * (1 << 20), "is larger than 1 MiB"),
    ],
)
def test_files_that_are_no_catalogue(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in str(refusal(tmp_path, content))


def test_a_name_that_nothing_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no catalogue 'papper'.*paper.*, or a YAML file"):
        Catalogue.find("papper")
    with pytest.raises(InputError, match="cannot be read"):
        Catalogue.find(str(tmp_path / "gone.yaml"))


@given(st.text(max_size=60), st.integers(0, len(GOOD)))
def test_text_thrown_in_anywhere_gives_a_catalogue_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, junk: str, place: int
) -> None:
    path = tmp_path_factory.mktemp("junk") / "small.yaml"
    path.write_bytes((GOOD[:place] + junk + GOOD[place:]).encode("utf-8", "surrogatepass"))
    try:
        Catalogue.read(path)
    except InputError:
        return
