"""The house stands: imports run downwards, never in a circle, and one file knows Ray's privates."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PACKAGES = ("envs", "kg_actor", "llm_actor", "rayapp")
"""Each may import those before it."""

LAYERS: Mapping[str, int] = {
    "config": 0,
    "algorithms": 0,
    "learning": 0,
    "settings_input": 0,
    "rl": 0,
    "runs": 1,
    "decisions": 1,
    "preparation": 1,
    "cluster": 1,
    "lab": 2,
    "commands": 3,
    "__main__": 4,
    # The package's own face, from which users import Run.
    "": 4,
}
"""Parts of rayapp; each may import those of its own height and below."""

BEHIND_RAY = "kg_actor.raykit"
"""The one module that uses Ray's private names."""

Arrows = dict[str, set[str]]


class Imports(ast.NodeVisitor):
    """The modules that a file imports, also inside functions, but not for type checkers alone.

    Args:
        package: of the file: its own name for an ``__init__.py``.
        modules: all modules of the house; of ``from a import b`` both ``a.b`` and ``a`` may be one.
    """

    def __init__(self, package: str, modules: frozenset[str]) -> None:
        self._package, self._modules = package, modules
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for each in node.orelse:
                self.visit(each)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = node.module or ""
        if node.level:
            above = self._package.split(".")[: len(self._package.split(".")) - node.level + 1]
            origin = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            inner = f"{origin}.{alias.name}"
            # A submodule; or a name that the package itself defines.
            self.found.add(inner if inner in self._modules else origin)


def modules_of(root: Path) -> dict[str, Path]:
    """All modules of the four packages by name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows_of(root: Path) -> Arrows:
    """What each module imports, the house's own modules and others."""
    modules = modules_of(root)
    arrows: Arrows = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        imports = Imports(package, frozenset(modules))
        imports.visit(ast.parse(path.read_text(encoding="utf-8")))
        arrows[name] = imports.found
    return arrows


def circles(arrows: Arrows) -> list[list[str]]:
    """Groups of modules that lead to each other (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(arrows[name] & arrows.keys()):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1 or name in arrows[name]:
                groups.append(sorted(group))

    for name in sorted(arrows):
        if name not in order:
            visit(name)
    return groups


def upwards(arrows: Arrows) -> list[str]:
    """Imports of a package, or of a part of rayapp, that stands above."""
    found = []
    for name, others in sorted(arrows.items()):
        package, _, rest = name.partition(".")
        for other in sorted(others):
            other_package, _, other_rest = other.partition(".")
            if other_package not in PACKAGES:
                continue
            higher = PACKAGES.index(other_package) > PACKAGES.index(package)
            if package == other_package == "rayapp":
                height, other_height = (
                    LAYERS.get(part.partition(".")[0], 0) for part in (rest, other_rest)
                )
                higher = other_height > height
            if higher:
                found.append(f"{name} -> {other}")
    return found


def importing(arrows: Arrows, *prefixes: str) -> Iterator[tuple[str, str]]:
    """Modules that import one of those names or what is below them."""
    for name, others in sorted(arrows.items()):
        for other in sorted(others):
            if any(other == prefix or other.startswith(f"{prefix}.") for prefix in prefixes):
                yield name, other


@pytest.fixture(scope="module")
def arrows() -> Arrows:
    return arrows_of(ROOT)


def test_every_part_of_rayapp_has_its_height(arrows: Arrows) -> None:
    parts = {name.split(".")[1] for name in arrows if name.startswith("rayapp.")}

    assert parts <= LAYERS.keys()


def test_no_modules_import_each_other_in_a_circle(arrows: Arrows) -> None:
    assert circles(arrows) == []


def test_imports_run_downwards(arrows: Arrows) -> None:
    assert upwards(arrows) == []


def test_the_product_knows_nothing_of_the_lab(arrows: Arrows) -> None:
    may = ("rayapp.lab", "rayapp.commands", "rayapp.__main__")
    others = [
        f"{name} -> {other}"
        for name, other in importing(arrows, "rayapp.lab")
        if not name.startswith(may)
    ]

    assert others == []


def test_environments_know_neither_ray_nor_torch(arrows: Arrows) -> None:
    own = {name: others for name, others in arrows.items() if name.partition(".")[0] == "envs"}

    assert list(importing(own, "ray", "torch")) == []


def test_rays_private_names_are_used_in_one_place() -> None:
    users = {
        name
        for name, path in modules_of(ROOT).items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for word in words_of(node)
        if word == "_private" or "internal_kv" in word
    }

    assert users == {BEHIND_RAY}


def words_of(node: ast.AST) -> list[str]:
    """The names that an import or an access to an attribute is made of."""
    match node:
        case ast.Import(names=names):
            dotted = [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names):
            dotted = [module or "", *(alias.name for alias in names)]
        case ast.Attribute(attr=attribute):
            dotted = [attribute]
        case _:
            dotted = []
    return [word for name in dotted for word in name.split(".")]


def made(tmp_path: Path, files: Mapping[str, str]) -> Arrows:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return arrows_of(tmp_path)


def test_a_circle_is_found_also_inside_functions_but_not_for_type_checkers(tmp_path: Path) -> None:
    files = {
        "envs/__init__.py": "from envs.a import one",
        "envs/a.py": "def one():\n    from envs import b",
        "envs/b.py": "import envs.c",
        "envs/c.py": "from .a import one",
        "envs/d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from envs import e",
        "envs/e.py": "from envs import d",
    }

    assert circles(made(tmp_path, files)) == [["envs.a", "envs.b", "envs.c"]]


def test_an_upward_arrow_is_found(tmp_path: Path) -> None:
    files = {
        "envs/a.py": "from kg_actor.b import two",
        "kg_actor/b.py": "import envs.a",
        "rayapp/rl/c.py": "from rayapp import runs",
        "rayapp/runs/__init__.py": "from rayapp.config import settings",
        "rayapp/lab/d.py": "import rayapp.rl.c, rayapp.commands.e",
        "rayapp/commands/e.py": "from rayapp.lab import d",
    }

    assert upwards(made(tmp_path, files)) == [
        "envs.a -> kg_actor.b",
        "rayapp.lab.d -> rayapp.commands.e",
        "rayapp.rl.c -> rayapp.runs",
    ]
