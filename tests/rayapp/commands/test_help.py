"""Every help text is a sentence that a stranger understands, and every command has an example."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
import typer.main

from rayapp.__main__ import app

VERBS = """
add ask attribute change check choose compare compute count create cut decide describe divide
draw end evaluate explain export fetch find fit generate give grow guess hold import judge keep kill
leave let limit list load look make mark match measure merge name pass prepare print profile
prove put query race rank read record refuse repeat replace report reproduce restore run save score
search see send set share show simulate skip split start step stop stream take teach tell time
train try tune use vary wait walk weigh withdraw write
"""
"""Verbs that a sentence of a help text begins with; a new one is added here."""

FINITE = "is are has have can must takes needs holds reads"
"""Verbs that stand within a sentence."""

GIVEN_BY_CLICK = {"--help"}


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, by the words that name them."""
    yield " ".join(path), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


ALL = dict(walk(typer.main.get_command(app), ("kirl",)))
COMMANDS = {name: one for name, one in ALL.items() if not hasattr(one, "commands")}


def problems(text: str | None) -> list[str]:
    """What is wrong with a help text."""
    plain = " ".join((text or "").split())
    beginnings = {
        sentence.split()[0].lower().rstrip(",")
        for sentence in re.split(r"[.;:] +", plain)
        if sentence
    }
    found = []
    if not plain[:1].isupper():
        found.append("does not start with a capital letter")
    if not plain.endswith("."):
        found.append("does not end with a full stop")
    if not beginnings & {*VERBS.split()} and not {*plain.split()} & {*FINITE.split()}:
        found.append("has no verb")
    return found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("of Adam.", "capital letter"),
        ("Train a policy", "full stop"),
        ("Of everything.", "no verb"),
        (None, "no verb"),
    ],
)
def test_a_riddle_is_told_from_a_sentence(text: str | None, problem: str) -> None:
    assert any(problem in one for one in problems(text))
    assert not problems("Draw all random numbers from this seed.")


@pytest.mark.parametrize("name", ALL)
def test_help_texts_are_sentences(name: str) -> None:
    command = ALL[name]
    texts = {name: command.help}
    for parameter in command.params:
        if GIVEN_BY_CLICK.isdisjoint(parameter.opts):
            texts[f"{name} {parameter.opts[0]}"] = getattr(parameter, "help", None)
    wrong = {where: (text, problems(text)) for where, text in texts.items() if problems(text)}
    assert not wrong


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_whose_options_exist(name: str) -> None:
    command = COMMANDS[name]
    example = " ".join((command.epilog or "").split())

    assert example.startswith(f"Example: {name}")
    known = {option for parameter in command.params for option in parameter.opts}
    used = {word for word in shlex.split(example) if word.startswith("--")}
    assert used <= known
