"""What the pages say is there: links, commands, options, settings, tests."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.core import TyperArgument, TyperGroup, TyperOption

import rayapp
from rayapp import algorithms, config
from rayapp.__main__ import app

REPOSITORY = Path(rayapp.__file__).parents[1]
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
WITH_COMMANDS = [*PAGES, *sorted(REPOSITORY.glob("docs/**/*.ipynb"))]
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    if page.suffix == ".md":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def commands(text: str) -> Iterator[list[str]]:
    """The words behind every ``kirl`` in code, up to where the shell ends the command."""
    spans = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    for block in (*FENCE.findall(text), *(" ".join(span.split()) for span in spans)):
        joined = re.sub(r"\\\n\s*", "", block)
        for found in re.finditer(r"(?:^|[\s;&/])(?:kirl|-m rayapp) +([^\n;|>&]+)", joined):
            yield shlex.split(found[1], comments=True)


def refused(given: list[str]) -> str | None:
    """Why the program would not take the command, or None."""
    words = list(given)
    command: object = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        # kirl ..., kirl COMMAND
        if words[0].isupper() or words[0] == "...":
            return None
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    known = {
        name: parameter
        for parameter in getattr(command, "params", [])
        if isinstance(parameter, TyperOption)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    positional = []
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            positional.append(word)
        elif word == "--help":
            continue
        elif word not in known:
            return f"no option {word}"
        elif not known[word].is_flag and words:
            words.pop(0)
    taken = [one for one in getattr(command, "params", []) if isinstance(one, TyperArgument)]
    positional = [word for word in positional if word != "..."]
    if len(positional) > len(taken) and all(one.nargs == 1 for one in taken):
        return f"no argument {positional[-1]}"
    return None


def test_commands_are_found_and_wrong_ones_refused() -> None:
    block = "```\nfor s in 0 1; do kirl prepare --out 'a b' \\\n  --rows; done\n```\n"
    found = [["prepare", "--out", "a b", "--rows"], ["train", "--flows", "1"]]
    assert list(commands(f"{block}Run `kirl train --flows 1`.")) == found
    assert refused(["train", "--flows", "1", "--set", "kl.start=1", "--out", "run"]) is None
    assert refused(["graph", "stats", "run", "--json"]) is None
    assert refused(["train", "--flaws", "1"]) == "no option --flaws"
    assert refused(["graph", "stars", "run"]) == "no command stars"
    assert refused(["settings", "kl", "surplus"]) == "no argument surplus"


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_program_takes_every_command(page: Path) -> None:
    wrong = [(line, why) for line in commands(text_of(page)) if (why := refused(line))]

    assert not wrong


def test_the_pages_show_many_commands() -> None:
    assert sum(len(list(commands(page.read_text()))) for page in PAGES) > 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    # The site makes this page of the notebooks and of the program.
    broken = [
        link
        for link in links
        if not re.match(r"https?:|#", link) and not (page.parent / link.split("#")[0]).exists()
    ]

    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_python_examples_import_is_there(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    # A submodule is no attribute before it is imported.
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")


def test_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 130


def test_ci_runs_the_readme_s_test_command() -> None:
    assert "\nmake test " in (REPOSITORY / "README.md").read_text()
    assert (REPOSITORY / ".ci" / "run").read_text().splitlines()[-1] == "make test"


def test_the_site_s_navigation_has_every_page() -> None:
    docs = REPOSITORY / "docs"
    named = re.findall(r"[\w/-]+\.md", (REPOSITORY / "mkdocs.yml").read_text())
    pages = [page.relative_to(docs) for page in (*docs.rglob("*.md"), *docs.rglob("*.ipynb"))]

    assert sorted(named) == sorted(str(page.with_suffix(".md")) for page in pages)


def test_guarantees_name_tests_that_are_there() -> None:
    text = (REPOSITORY / "docs" / "guarantees.md").read_text()
    named = set(re.findall(r"`(tests/[\w/.]+)`", text))

    assert len(named) > 40
    assert [name for name in sorted(named) if not (REPOSITORY / name).is_file()] == []


def test_pages_name_files_that_are_there() -> None:
    # What a run or another machine has is not of this repository.
    named = {
        name
        for page in PAGES
        for name in re.findall(
            r"`((?:envs|kg_actor|llm_actor|rayapp|tests|docs|examples)/[\w/.-]+\.\w+)`",
            page.read_text(),
        )
    }

    assert len(named) > 40
    assert [name for name in sorted(named) if not (REPOSITORY / name).is_file()] == []


def test_recipes_are_ten_lines_with_an_example_and_its_test() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    recipes = re.findall(r"^## Add (.+)\n((?:(?!^## ).*\n)+)", text, re.MULTILINE)

    named = {name for name, _ in recipes}
    assert named == {"an algorithm", "a data set", "a mitigation catalogue", "an advisor"}
    for _, recipe in recipes:
        assert len([line for line in recipe.splitlines() if line]) <= 10
        # That they are there is tested above.
        assert re.search(r"`examples/[\w.]+`", recipe)
        assert re.search(r"`tests/[\w/.]+`", recipe)


def test_every_setting_that_is_set_exists() -> None:
    keys = {key for name in algorithms.names() for key in config.known(algorithms.find(name))}
    # A recipe's own algorithm has settings of its own.
    keys.add("learning.epsilon")
    found = {
        (page.name, key)
        for page in WITH_COMMANDS
        for key in re.findall(r"--set '?([\w.]+)=", text_of(page))
        if key not in keys and not key.isupper() and key not in ("key", "advice.KEY")
    }

    assert not found


def test_hooks_before_a_commit_run_what_make_check_runs() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0][
        "hooks"
    ]
    makefile = (REPOSITORY / "Makefile").read_text()
    check = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert check
    tests = re.search(r"^TESTS *:= (.*)$", makefile, re.MULTILINE)
    assert tests
    lines = [
        line.strip().replace("$(TESTS)", tests[1]).replace("$(BIN)", ".venv/bin")
        for line in check[1].splitlines()
    ]

    assert [hook["entry"] for hook in hooks] == lines
    assert {hook["language"] for hook in hooks} == {"system"}
