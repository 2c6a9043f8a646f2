"""Lessons from files: an analyst's CSV, a threat feed's or another graph's STIX bundle.

Files are taken from anyone. They are read by Python's own ``csv`` and ``json``: a lesson file is
small, and neither guesses types or drops a row, so every complaint can name row and column.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from envs import Catalogue, InputError
from kg_actor.lesson_checks import MAX_CELL, Found, folded, shown
from kg_actor.lessons import MAX_WEIGHT, Lesson

COLUMNS = ("type", "action", "reward", "weight", "provenance")
"""Header of a lesson file."""

DEFAULT_WEIGHT = 10.0
"""Flows that a feed's word counts for: enough to be tried first, soon outweighed by experience."""

MAX_BYTES = 64 * 2**20
"""The most bytes that a file may have; all of enterprise ATT&CK as STIX is smaller."""

MAX_ROWS = 2**20
"""The most rows that a CSV file may have, blank ones included; a spreadsheet holds no more."""

MAX_LINE = 10_000
"""Characters of a line of a CSV file."""

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def read_lessons(
    path: Path,
    catalogue: Catalogue,
    provenance: str | None = None,
    *,
    default_reward: float | None = None,
    default_weight: float = DEFAULT_WEIGHT,
) -> list[Lesson]:
    """Reads lessons from CSV or STIX; a file that begins with a brace or bracket is STIX.

    **CSV** has a header with the columns type, action, reward, weight and provenance in any
    order; others are ignored. Types and actions are named as in the catalogue, in any case;
    actions may be named by their ATT&CK id.

    **STIX** gives lessons in two ways. Relationships with this project's extension
    (:mod:`kg_actor.stix`) give what a graph learnt, by that graph's name, and what it was
    taught, by the sources' names. Any other ``mitigates`` relationship between a course of
    action and an attack pattern counts by the ATT&CK ids in their external references: for each
    type that stands for the technique, and with the default reward and weight. Sub-techniques
    count as their techniques, for the types are no finer than that. What is revoked, and what
    is about other techniques or mitigations, is passed over.

    Args:
        path: the file, UTF-8.
        catalogue: whose types and actions the lessons are about.
        provenance: attributes all lessons to this source, whatever the file says. Without it a
            file speaks for whomever it names, and may replace their lessons: give it for files
            of others. Where several sources of a bundle teach an edge, they become one lesson
            of their summed weight and mean reward.
        default_reward: of a relationship without numbers; by default halfway between the best
            and the least reward above a miss (3 with eq. 3).
        default_weight: of a relationship without numbers, in flows.

    Returns:
        At least one lesson; no two of one source on one edge.

    Raises:
        InputError: anything else, by row and column, or by object and property.
    """
    where = str(path)
    if default_reward is None:
        default_reward = _fair_reward(catalogue)
    _check_defaults(default_reward, default_weight, catalogue)
    text = _text_of(path)
    found = Found(catalogue, provenance)
    if text.lstrip()[:1] in ("{", "["):
        # It brings stix2, which takes a while to import.
        from kg_actor.lesson_bundle import bundle_lessons

        bundle_lessons(text, where, found, (default_reward, default_weight))
    else:
        _csv_lessons(text, where, found)
    if not found.lessons:
        raise InputError(
            "holds no lesson about the scenario's types and actions",
            where=where,
            expected="rows below the header, or relationships from mitigations to techniques",
            mend="Check that this is the right file",
        )
    return list(found.lessons.values())


def _fair_reward(catalogue: Catalogue) -> float:
    """What a mitigation earns that a feed merely names."""
    least = catalogue.rewards[catalogue.rewards > catalogue.lowest_reward].min()
    return (int(least) + catalogue.highest_reward) / 2


def _check_defaults(reward: float, weight: float, catalogue: Catalogue) -> None:
    low, high = catalogue.lowest_reward, catalogue.highest_reward
    if not low <= reward <= high:
        raise InputError(
            f"default reward {reward} is out of range",
            expected=f"a number in {low} .. {high}",
            mend="Give such a number",
        )
    if not 0 < weight <= MAX_WEIGHT:
        raise InputError(
            f"default weight {weight} is out of range",
            expected=f"a number of flows above 0, at most {MAX_WEIGHT:g}",
            mend="Give such a number",
        )


def _text_of(path: Path) -> str:
    """A file's content, as long as it is a regular file of reasonable size in UTF-8."""
    where = str(path)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        content = b""
        if regular:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"cannot be read ({reason})", where=where, mend="Check name and permissions"
        ) from error
    if not regular:
        raise InputError("is not a file", where=where, mend="Name a CSV or STIX file")
    if len(content) > MAX_BYTES:
        raise InputError(
            f"is larger than {MAX_BYTES // 2**20} MiB", where=where, mend="Split the file"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"byte {error.start} is not UTF-8",
            where=f"{where}, row {row}",
            expected="a file in UTF-8",
            mend="Save it again in that encoding (spreadsheets call it 'CSV UTF-8')",
        ) from None
    if not text.strip():
        raise InputError(
            "is empty",
            where=where,
            expected=f"a CSV header ({','.join(COLUMNS)}) and rows, or a STIX bundle",
            mend="Check that this is the right file",
        )
    return text


def _csv_lessons(text: str, file: str, found: Found) -> None:
    rows = _rows(text, file)
    _, header = next(rows)
    columns = _columns(header, file, found.provenance is None)
    for number, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        place = f"row {number}"
        where = f"{file}, {place}, column"
        if len(row) != len(header):
            raise InputError(
                f"has {len(row)} cells",
                where=f"{file}, {place}",
                expected=f"{len(header)}, as many as the header",
                mend="Put names that contain a comma into double quotes",
            )
        cells = {name: row[column].strip() for name, column in columns.items()}
        for name, cell in cells.items():
            if len(cell) > MAX_CELL:
                raise InputError(
                    f"{shown(cell)} has {len(cell):,} characters",
                    where=f"{where} {name}",
                    expected=f"at most {MAX_CELL}",
                    mend="Correct the cell",
                )
        lesson = found.checked(
            found.names.traffic(cells["type"], f"{where} type"),
            found.names.action(cells["action"], f"{where} action"),
            _parsed(cells["reward"], f"{where} reward"),
            _parsed(cells["weight"], f"{where} weight"),
            cells["provenance"] if found.provenance is None else found.provenance,
            f"{file}, {place}",
        )
        found.add(lesson, file, place)


def _rows(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with their numbers, as a spreadsheet shows them (the header is row 1)."""
    reader = csv.reader(_lines(text, file), strict=True)
    for number in itertools.count(1):
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"is not CSV ({error})",
                where=f"{file}, row {number}",
                expected="cells separated by commas, in double quotes where they contain one",
                mend="Correct the row, or save the table as CSV again",
            ) from None
        yield number, row


def _lines(text: str, file: str) -> Iterator[str]:
    """Lines, as long as they are few and short: a row of a million cells takes long to refuse."""
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        for what, size, limit in (
            ("lines", number, MAX_ROWS),
            ("characters in a line", len(line), MAX_LINE),
        ):
            if size > limit:
                raise InputError(
                    f"has more than {limit:,} {what}",
                    where=f"{file}, line {number}",
                    expected="a table of lessons",
                    mend="Check that this is the right file, or split it",
                )
        yield line


def _columns(header: Sequence[str], file: str, provenance: bool) -> dict[str, int]:
    """Where each column of :data:`COLUMNS` stands."""
    names = [folded(name) for name in header]
    needed = COLUMNS if provenance else COLUMNS[:-1]
    missing = [name for name in needed if name not in names]
    if missing:
        mend = "Add them to the first row"
        if len(names) == 1 and re.search("[;\t]", names[0]):
            mend = "Separate the cells by commas"
        elif missing == ["provenance"]:
            mend = "Add it to the first row, or give a provenance for all of the file"
        raise InputError(
            f"has no column {', '.join(missing)}",
            where=f"{file}, row 1",
            expected=f"a header with {', '.join(needed)}",
            mend=mend,
        )
    for name in needed:
        if names.count(name) > 1:
            raise InputError(
                f"has the column {name} {names.count(name)} times",
                where=f"{file}, row 1",
                expected="each column once",
                mend="Rename or remove the others",
            )
    return {name: names.index(name) for name in needed}


def _parsed(cell: str, where: str) -> float:
    # float() would also take nan, inf, 1_000 and digits of other scripts.
    if not _NUMBER.fullmatch(cell):
        raise InputError(
            f"{shown(cell)} is not a number",
            where=where,
            expected="digits, with a point before decimals",
            mend="Correct the number",
        )
    return float(cell)
