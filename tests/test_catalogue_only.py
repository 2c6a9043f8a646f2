"""The catalogue is the only place that knows classes, actions, rewards and their bounds.

Code is looked at, not docstrings: the environment's specification may tell the paper's values as
an example.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs import Catalogue

ROOT = Path(__file__).parents[1]
PAPER = Catalogue.named("paper")

CONSTANTS = {"TOP_REWARD", "MISS_REWARD", "EQUATION_3", "PAPER"}
NAMES = {*PAPER.class_names, *PAPER.action_names}
EVERYWHERE = ("Benign", "No Action")

SIZED = ("rayapp/rl/", "envs/state.py", "envs/bandit.py")
"""Where the number of the paper's actions, 15, has no other meaning."""

DATA = {
    "envs/datasets/": "labels, as they are published",
    "envs/datasets/netflow.py": "the same",
    "envs/datasets/unsw.py": "the same",
    "envs/datasets/zeek.py": "the same",
    "kg_actor/attack.py": "the ATT&CK techniques that labels stand for",
    "rayapp/lab/small_model/": "what the small model is trained on: names, rewards of many kinds",
    "rayapp/lab/reproduction/": "the paper's published figures",
    "rayapp/commands/online.py": "the drifts of an experiment; its classes are options",
}
"""Modules that hold such names or numbers as data, and why."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("envs", "kg_actor", "llm_actor", "rayapp"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith("envs/catalogue"):
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def spoken(tree: ast.AST) -> Iterator[ast.expr]:
    """All expressions of a module but its docstrings."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and id(node) not in prose:
            yield node


def named(tree: ast.Module) -> Iterator[str]:
    """What a module knows that it should not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("envs"):
            yield from (f"imports {one.name}" for one in node.names if one.name in CONSTANTS)
    for expression in spoken(tree):
        text = expression.value if isinstance(expression, ast.Constant) else None
        if isinstance(text, str) and (text in NAMES or any(name in text for name in EVERYWHERE)):
            yield f"line {expression.lineno}: {text!r}"
        if isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.USub):
            operand = expression.operand
            if isinstance(operand, ast.Constant) and operand.value == -PAPER.lowest_reward:
                yield f"line {expression.lineno}: -{operand.value}"


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return dict(modules())


def test_no_other_module_names_what_the_catalogue_holds(trees: dict[str, ast.Module]) -> None:
    found = {
        name: known
        for name, tree in trees.items()
        if not name.startswith(tuple(DATA)) and (known := list(named(tree)))
    }

    assert found == {}


@pytest.mark.parametrize("name", DATA)
def test_what_is_left_out_has_what_it_is_left_out_for(
    name: str, trees: dict[str, ast.Module]
) -> None:
    assert any(list(named(tree)) for path, tree in trees.items() if path.startswith(name))


def test_no_other_module_counts_actions(trees: dict[str, ast.Module]) -> None:
    found = [
        f"{name}, line {expression.lineno}"
        for name, tree in trees.items()
        if name.startswith(SIZED)
        for expression in spoken(tree)
        if isinstance(expression, ast.Constant) and expression.value == len(PAPER.actions)
    ]

    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "from envs.catalogue import TOP_REWARD",
        "from envs import PAPER",
        "worst = -5",
        "worst = -5.0",
        "if name == 'Benign': ...",
        "print(f'{n} flows of Benign')",
        "best = 'Audit'",
    ],
)
def test_the_test_finds_what_it_looks_for(code: str) -> None:
    assert list(named(ast.parse(code)))


def test_docstrings_may_give_examples() -> None:
    assert not list(named(ast.parse("def f():\n    'Of Benign traffic, at least -5.'\n")))
