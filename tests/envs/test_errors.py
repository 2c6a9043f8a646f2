from __future__ import annotations

import pickle

from envs.errors import InputError


def test_message_says_where_what_what_was_expected_and_what_to_do() -> None:
    error = InputError(
        "no Label column", where="Monday.csv", expected="79 columns", mend="Download it again."
    )

    assert str(error) == "Monday.csv: no Label column. Expected 79 columns. Download it again."


def test_message_of_one_part_is_one_sentence() -> None:
    assert str(InputError("no flows")) == "no flows."


def test_error_travels_between_processes_whole() -> None:
    error = InputError("no flows", where="a", expected="b", mend="c")

    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert isinstance(arrived, InputError)
    assert vars(arrived) == vars(error)
    assert str(arrived) == str(error)
