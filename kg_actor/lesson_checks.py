"""What lessons of every file format are checked against, and how a complaint reads."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from envs import Catalogue, InputError
from kg_actor.lessons import Lesson

MAX_LESSONS = 100_000
"""The most lessons that a file may have; hundreds of sources of the paper's graph have fewer."""

MAX_CELL = 200
"""Characters of a name or number."""


@dataclass(frozen=True)
class Names:
    """The catalogue's names by how people may write them."""

    types: Mapping[str, str]
    actions: Mapping[str, str]

    @classmethod
    def of(cls, catalogue: Catalogue) -> Names:
        """The names of a catalogue."""
        actions = {folded(action.name): action.name for action in catalogue.actions}
        ids = {folded(one): name for one, name in catalogue.by_attack_id.items()}
        return cls({folded(name): name for name in catalogue.class_names}, ids | actions)

    def traffic(self, text: str, where: str) -> str:
        """A type's name; raises :class:`InputError` for an unknown one."""
        return _named(text, self.types, "traffic type", where)

    def action(self, text: str, where: str) -> str:
        """An action's name, given that or its id; raises :class:`InputError` for an unknown one."""
        return _named(text, self.actions, "action", where)


@dataclass
class Found:
    """Lessons read so far, and where each stood."""

    catalogue: Catalogue
    provenance: str | None
    names: Names = field(init=False)
    lessons: dict[tuple[str, str, str], Lesson] = field(default_factory=dict)
    places: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = Names.of(self.catalogue)

    def checked(
        self, traffic: str, action: str, reward: float, weight: float, provenance: str, where: str
    ) -> Lesson:
        """A lesson; raises :class:`InputError` that names the column that does not fit."""
        try:
            lesson = Lesson(traffic, action, reward, weight, provenance)
            lesson.check(self.catalogue)
        except ValueError as error:
            # A lesson's own message begins with the field that it is about.
            column, _, rule = str(error).partition(" must be ")
            given = {"reward": str(reward), "weight": str(weight), "provenance": provenance}
            raise InputError(
                f"{column} is {shown(given[column])}",
                where=f"{where}, {column}",
                expected=rule,
                mend="Correct it, or give a provenance of your own for all of the file"
                if column == "provenance"
                else "Correct the number",
            ) from None
        return lesson

    def add(self, lesson: Lesson, file: str, place: str) -> None:
        """Keeps a lesson.

        Raises:
            InputError: its source taught that edge already, or there are too many lessons.
        """
        if lesson.key in self.lessons:
            raise InputError(
                f"teaches {shown(lesson.traffic)} and {shown(lesson.action)} by "
                f"{shown(lesson.provenance)} again, as {self.places[lesson.key]} does",
                where=f"{file}, {place}",
                expected="one lesson per source, type and action",
                mend="Remove one of the two, or give them different provenances",
            )
        if len(self.lessons) >= MAX_LESSONS:
            raise InputError(
                f"holds more than {MAX_LESSONS:,} lessons", where=file, mend="Split the file"
            )
        self.lessons[lesson.key], self.places[lesson.key] = lesson, place


def folded(name: str) -> str:
    """A name as it is compared: without case, and without blanks around it."""
    return name.strip().casefold()


def shown(text: str, limit: int = 60) -> str:
    """Text in quotes, cut where it is long."""
    return repr(text if len(text) <= limit else text[:limit] + "...")


def _named(text: str, known: Mapping[str, str], what: str, where: str) -> str:
    key = folded(text[: MAX_CELL + 1])
    if len(text) <= MAX_CELL and key in known:
        return known[key]
    near = difflib.get_close_matches(key[:60], known, n=1)
    hint = f"Did you mean {known[near[0]]!r}? " if near else ""
    raise InputError(
        f"unknown {what} {shown(text)}",
        where=where,
        expected="one of: " + ", ".join(dict.fromkeys(known.values())),
        mend=hint + "Correct the name, or leave the row out",
    )
