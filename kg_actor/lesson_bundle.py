"""Lessons in STIX bundles: another graph's export, or a threat feed's mitigations.

A bundle is not parsed by the ``stix2`` library, which builds and checks thousands of objects that
do not matter here and refuses all of them for one that is odd; only what is used is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from envs import InputError
from kg_actor.attack import SOURCE_NAMES, parent_id, techniques_of
from kg_actor.lesson_checks import Found, shown
from kg_actor.lessons import MAX_WEIGHT, Lesson
from kg_actor.stix import EXTENSION_ID


def bundle_lessons(text: str, file: str, found: Found, default: tuple[float, float]) -> None:
    """Adds what a bundle teaches; see :func:`kg_actor.lesson_files.read_lessons`.

    Args:
        text: the bundle.
        file: its name, for messages.
        found: where to add it.
        default: reward and weight of a relationship without numbers.

    Raises:
        InputError: not a bundle, or lessons that do not fit.
    """
    bundle = _Bundle.of(text, file)
    _own_lessons(bundle, found)
    _feed_lessons(bundle, found, default)


@dataclass(frozen=True)
class _Bundle:
    """The newest version of each object of a bundle that is not revoked.

    Attributes:
        file: its name.
        objects: by id.
        places: of each object, for messages.
    """

    file: str
    objects: Mapping[str, dict[str, Any]]
    places: Mapping[str, str]

    @classmethod
    def of(cls, text: str, file: str) -> _Bundle:
        objects: dict[str, dict[str, Any]] = {}
        places: dict[str, str] = {}
        for number, one in enumerate(_bundled(text, file), 1):
            identifier = one.get("id") if isinstance(one, dict) else None
            if not isinstance(identifier, str):
                raise InputError(
                    "has no id",
                    where=f"{file}, object {number}",
                    expected="STIX objects, each with type and id",
                    mend="Correct the object, or leave it out",
                )
            if identifier in objects and _age(one) <= _age(objects[identifier]):
                continue
            objects[identifier] = one
            places[identifier] = f"object {number} ({shown(identifier)})"
        kept = {key: one for key, one in objects.items() if one.get("revoked") is not True}
        return cls(file, kept, places)

    def relationships(self) -> Iterator[tuple[dict[str, Any], str]]:
        """All relationships, each with its place."""
        for identifier, one in self.objects.items():
            if one.get("type") == "relationship":
                yield one, self.places[identifier]

    def end(self, relationship: dict[str, Any], name: str, kind: str) -> dict[str, Any]:
        """What a reference leads to; empty where that is not in the bundle or not of a kind."""
        reference = relationship.get(name)
        one = self.objects.get(reference, {}) if isinstance(reference, str) else {}
        return one if one.get("type") == kind else {}

    def source(self, relationship: dict[str, Any], place: str) -> str:
        """The name of whoever made a relationship."""
        name = self.end(relationship, "created_by_ref", "identity").get("name")
        if isinstance(name, str):
            return name
        raise InputError(
            "names no source",
            where=f"{self.file}, {place}, created_by_ref",
            expected="an identity that is in the bundle and has a name",
            mend="Give a provenance for all of the file",
        )


def _bundled(text: str, file: str) -> list[Any]:
    try:
        data = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(
            f"is not JSON ({reason[:200]})",
            where=file,
            expected="a STIX bundle",
            mend="Export the bundle again",
        ) from None
    objects = data.get("objects") if isinstance(data, dict) else None
    if not isinstance(data, dict) or data.get("type") != "bundle" or not isinstance(objects, list):
        raise InputError(
            "is JSON, but not STIX",
            where=file,
            expected='an object with "type": "bundle" and a list of "objects"',
            mend="Check that this is the right file",
        )
    return objects


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _age(one: dict[str, Any]) -> float:
    """When an object was modified, in seconds; objects without a valid date are the oldest."""
    try:
        return datetime.fromisoformat(one["modified"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return float("-inf")


def _own_lessons(bundle: _Bundle, found: Found) -> None:
    """From relationships that carry this project's extension."""
    for relationship, place in bundle.relationships():
        extensions = relationship.get("extensions")
        if not isinstance(extensions, dict) or EXTENSION_ID not in extensions:
            continue
        where = f"{bundle.file}, {place}"
        numbers = _object(extensions[EXTENSION_ID], f"{where}, extension")
        traffic = found.names.traffic(_string(numbers, "traffic_type", where), where)
        action = found.names.action(_string(numbers, "action", where), where)
        parts = []
        if "learnt_weight" in numbers:
            source = found.provenance or bundle.source(relationship, place)
            parts.append(_part(found, traffic, action, numbers, "learnt_", source, where))
        taught = numbers.get("lessons", [])
        if not isinstance(taught, list):
            raise _not_a("lessons", "a list", where)
        for number, item in enumerate(taught, 1):
            at = f"{where}, lesson {number}"
            one = _object(item, at)
            source = found.provenance or _string(one, "provenance", at)
            parts.append(_part(found, traffic, action, one, "", source, at))
        for lesson in [_pooled(found, parts, where)] if found.provenance and parts else parts:
            found.add(lesson, bundle.file, place)


def _part(
    found: Found,
    traffic: str,
    action: str,
    numbers: dict[str, Any],
    prefix: str,
    source: str,
    where: str,
) -> Lesson:
    reward, weight = (_float(numbers, prefix + name, where) for name in ("reward", "weight"))
    return found.checked(traffic, action, reward, weight, source, where)


def _pooled(found: Found, parts: Sequence[Lesson], where: str) -> Lesson:
    """What several sources know about an edge, as one lesson of the same source."""
    first = parts[0]
    if len(parts) == 1:
        return first
    weight = sum(part.weight for part in parts)
    reward = sum(part.weight * part.reward for part in parts) / weight
    # Dividing a rounded sum can end a last digit beyond what any of the parts says.
    reward = min(max(reward, found.catalogue.lowest_reward), found.catalogue.highest_reward)
    return found.checked(first.traffic, first.action, reward, weight, first.provenance, where)


def _feed_lessons(bundle: _Bundle, found: Found, default: tuple[float, float]) -> None:
    """From plain relationships between ATT&CK's mitigations and techniques."""
    catalogue = found.catalogue
    actions = catalogue.by_attack_id
    types: dict[str, list[str]] = {}
    for traffic in catalogue.classes:
        for parent in dict.fromkeys(parent_id(t.attack_id) for t in techniques_of(traffic)):
            types.setdefault(parent, []).append(traffic.name)
    for relationship, place in bundle.relationships():
        if relationship.get("relationship_type") != "mitigates":
            continue
        mitigations = _attack_ids(bundle.end(relationship, "source_ref", "course-of-action"))
        techniques = _attack_ids(bundle.end(relationship, "target_ref", "attack-pattern"))
        pairs = [
            (traffic, actions[mitigation])
            for mitigation in mitigations
            if mitigation in actions
            for technique in techniques
            for traffic in types.get(parent_id(technique), ())
        ]
        for traffic_name, action in pairs:
            source = found.provenance or bundle.source(relationship, place)
            where = f"{bundle.file}, {place}"
            lesson = found.checked(traffic_name, action, *default, source, where)
            # A feed says it once per sub-technique; that is one lesson, not a contradiction.
            if lesson.key not in found.lessons:
                found.add(lesson, bundle.file, place)


def _attack_ids(one: dict[str, Any]) -> list[str]:
    """ATT&CK ids in an object's external references."""
    references = one.get("external_references")
    return [
        reference["external_id"]
        for reference in (references if isinstance(references, list) else [])
        if isinstance(reference, dict)
        and reference.get("source_name") in SOURCE_NAMES
        and isinstance(reference.get("external_id"), str)
    ]


def _object(value: Any, where: str) -> dict[str, Any]:  # noqa: ANN401 (untrusted JSON)
    if not isinstance(value, dict):
        raise _not_a("this", "an object", where)
    return value


def _string(data: dict[str, Any], name: str, where: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise _not_a(name, "text", where)
    return value


def _float(data: dict[str, Any], name: str, where: str) -> float:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _not_a(name, "a number", where)
    # An integer may be too large for a float; Lesson refuses either.
    return float(value) if abs(value) <= MAX_WEIGHT else value


def _not_a(name: str, kind: str, where: str) -> InputError:
    return InputError(
        f"{name} is missing or not {kind}", where=where, expected=kind, mend="Correct the object"
    )
