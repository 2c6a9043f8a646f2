"""YAML of plain types, read within bounds, with the line of every value.

Files come from anyone. What YAML can do besides text, numbers, true, false, null, lists and
mappings is refused: tags (which make objects), anchors and aliases (which make a small file
huge), dates, and words such as ``yes`` and ``no`` that YAML 1.1 takes for truth values stay text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from envs.errors import InputError, printable
from envs.files import beginning_of

MOST_BYTES = 1 << 20
MOST_DEPTH = 12

Location = tuple[str | int, ...]
"""The way to a value: keys of mappings and positions in lists, outermost first."""


@dataclass(frozen=True)
class Document:
    """What a file says, and where.

    Attributes:
        file: its name, for messages.
        value: text, numbers, truth values, ``None``, lists and dictionaries.
        lines: the line that each value begins in, from 1; of a mapping's entry that of its key.
    """

    file: str
    value: Any
    lines: dict[Location, int]

    def line(self, location: Location) -> int:
        """The line of a value; of one that is missing, that of what should hold it."""
        while location not in self.lines:
            location = location[:-1]
        return self.lines[location]

    def where(self, location: Location) -> str:
        """Where a value stands: the file, its line, and the way to it."""
        way = path(location)
        return f"{self.file}, line {self.line(location)}" + (f", {way}" if way else "")


def path(location: Location) -> str:
    """The way to a value in one text, such as ``classes[2].ranking``."""
    way = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return way.removeprefix(".")


def read(path: Path) -> Document:
    """Reads a YAML file of at most 1 MiB.

    Raises:
        InputError: it cannot be read, is no YAML, or is more than plain YAML.
    """
    file = str(path)
    content = beginning_of(path, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError("is larger than 1 MiB", where=file, mend="Check that it is the right file")
    try:
        text = content.decode("utf-8-sig")
        loader = _Loader(text, file)
        node = loader.get_single_node()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            "is not UTF-8", where=f"{file}, line {line}", mend="Save the file in UTF-8"
        ) from None
    except yaml.YAMLError as error:
        raise _not_yaml(error, file) from None
    if node is None:
        raise InputError("is empty", where=file, mend="Check that it is the right file")
    lines: dict[Location, int] = {(): 1}
    return Document(file, _value(node, (), lines, file), lines)


def text_of(text: str) -> str:
    """A text as :func:`read` takes it for that text: on one line, printable, quoted if need be."""
    written: str = yaml.dump(
        [text], Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=float("inf")
    )
    if text.isprintable() and written == f"[{text}]\n":
        return text
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or :class:`_Loader` takes for something else than text."""


class _Loader(yaml.SafeLoader):
    """Composes nodes of plain types."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (as PyYAML declares it)

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self._file, self._depth = file, 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse("anchors and aliases (& and *)", event, "Write the value out")
        if getattr(event, "tag", None):
            self._refuse("tags (such as !!int)", event, "Remove the tag")
        if self._depth == MOST_DEPTH:
            self._refuse(f"more than {MOST_DEPTH} levels", event, "Nest less deeply")
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, what: str, event: yaml.Event, mend: str) -> NoReturn:
        raise InputError(
            f"holds {what}, which are not read",
            where=f"{self._file}, line {getattr(event.start_mark, 'line', 0) + 1}",
            expected="text, numbers, true, false, null, lists and mappings",
            mend=mend,
        )


_PLAIN = {
    "null": (re.compile(r"^(?:null|~|)$"), ["n", "~", ""]),
    "bool": (re.compile(r"^(?:true|false)$"), ["t", "f"]),
    "int": (re.compile(r"^[-+]?[0-9]{1,18}$"), list("-+0123456789")),
    "float": (re.compile(r"^[-+]?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]{1,3})?$"), list("-+0123456789")),
}
for _kind, (_pattern, _first) in _PLAIN.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, _first)


def _value(node: yaml.Node, at: Location, lines: dict[Location, int], file: str) -> Any:  # noqa: ANN401
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, (*at, i), lines, file) for i, one in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, lines, file)
    kind, text = node.tag.rpartition(":")[2], str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        return text == "true"
    return {"int": int, "float": float}.get(kind, str)(text)


def _mapping(
    node: yaml.MappingNode, at: Location, lines: dict[Location, int], file: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise InputError(
                "a key is no text", where=f"{file}, line {line}", mend="Write a name before the ':'"
            )
        key = str(key_node.value)
        if key in found:
            raise InputError(
                f"{key[:60]!r} stands here again; it is in line {lines[(*at, key)]} already",
                where=f"{file}, line {line}",
                expected="each key once",
                mend="Remove one of the two",
            )
        lines[(*at, key)] = line
        found[key] = _value(value_node, (*at, key), lines, file)
    return found


def _not_yaml(error: yaml.YAMLError, file: str) -> InputError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return InputError(
        f"is not YAML ({problem})",
        where=file if mark is None else f"{file}, line {mark.line + 1}",
        expected="YAML: 'key: value' lines, lists with '-', indented by spaces",
        mend="Correct the line; a text with ': ' or ' #' in it needs quotes",
    )
