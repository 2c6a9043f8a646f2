"""Tests are collected under the same names by every worker."""

from __future__ import annotations

import gzip

import pytest

from tests.conftest import named_by_bytes


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        pytest.param(gzip.compress(b"flows"), True, id="gzip"),
        pytest.param(bytes(range(128, 139)), True, id="binary"),
        pytest.param("Web Attack \N{EN DASH} XSS".encode(), False, id="a dash"),
        pytest.param(b"DoS,Audit,1,2,team", False, id="text"),
    ],
)
def test_names_that_spell_out_bytes_are_found(value: bytes, refused: bool) -> None:
    name = f"tests/test_it.py::test_it[{value!r}]"

    assert named_by_bytes([name]) == [name] * refused
