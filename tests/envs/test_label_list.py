from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import label_list
from envs.errors import InputError

BOTH = {"DoS Hulk": "DoS Hulk", "Zorp": "Zorp"}


@pytest.mark.parametrize(
    ("name", "content", "labels"),
    [
        ("a.txt", "DoS Hulk\n\nZorp\n", BOTH),
        ("a.csv", "\ufefflabel,flows\nDoS Hulk,12\n Zorp , 3\n", BOTH),
        ("a.csv", "DoS Hulk;12\r\nZorp;\r\n", BOTH),
        ("a.tsv", "Label\tClass\nDoS Hulk\tDoS\nZorp\tdrop\n", {"DoS Hulk": "DoS"}),
        ("a.csv", '"a,b",Worm\nc,\n', {"a,b": "Worm", "c": "c"}),
        ("a.yaml", "{DoS Hulk: 12, Zorp: }", BOTH),
        ("a.yml", "DoS Hulk: DoS\nZorp: DoS?\n'0': '?'\n", BOTH | {"DoS Hulk": "DoS", "0": "0"}),
        ("a.yaml", "[DoS Hulk, Zorp]", BOTH),
        ("a.csv", "a,b,c\n1,2,3\n", None),
        ("a.bin", b"\xff\xfe\x00", None),
        ("a.txt", "x\n" * (1 << 20), None),
    ],
)
def test_labels_of_a_list(
    tmp_path: Path, name: str, content: str | bytes, labels: dict[str, str] | None
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)

    assert label_list.read(path) == labels


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "\n", "lists no labels"),
        ("a.yaml", "{a: drop}", "lists no labels"),
        ("a.yaml", "[a, 1]", "line 1: .* is no class"),
        ("a.yaml", "x: y\na: [b]\n", "line 2, a: .* is no class. Expected 'label: class'"),
        ("a.yaml", "a: true", "'True' is no class"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(content)

    with pytest.raises(InputError, match=said):
        label_list.read(path)


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        label_list.read(tmp_path / "gone.csv")


@given(st.binary(max_size=60), st.sampled_from(["a.csv", "a.yaml"]))
def test_anything_is_a_list_or_none_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("list") / name
    path.write_bytes(content)
    try:
        found = label_list.read(path)
    except InputError:
        return
    assert found is None or all(found.values())
