"""Text that is written into YAML is read back as the same text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from envs import plain_yaml


@given(st.text(st.characters(codec="utf-8"), max_size=60))
@example("0189")
@example("1.0e5")
@example("true")
@example("~")
@example("?")
@example("a: b # c")
@example("\x1b[2J")
@example("\u202e, ]")
@example("quote ' and \" and \\")
def test_a_text_is_read_back_as_itself(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    written = plain_yaml.text_of(text)
    path = tmp_path_factory.getbasetemp() / "text.yaml"
    path.write_text(f"{written}: {written}  # said\n", encoding="utf-8")

    assert written.isprintable()
    assert plain_yaml.read(path).value == {text: text}
