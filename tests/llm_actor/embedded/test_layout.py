from __future__ import annotations

import numpy as np
import pytest
import torch

from envs.catalogue import Catalogue, Mitigation, TrafficClass
from llm_actor import GraphReader, Prompts
from llm_actor.embedded.knowledge import attack
from llm_actor.embedded.layout import LONGEST, Layout, Names
from llm_actor.embedded.names import made_up
from llm_actor.embedded.simulation import Neighbourhoods, simulate
from llm_actor.embedded.vocabulary import UNTRIED, Vocabulary, build
from llm_actor.scoring import Packed, Question, pack
from llm_actor.text import Template, messages, printable
from llm_actor.tokens import Tokens

VOCABULARY = Vocabulary(build())
NAMES = [
    printable(name)
    for name in (*attack().types, *attack().actions, *made_up(300, 5))
    if len(VOCABULARY.pieces(printable(name))) <= LONGEST
]
TABLE = Names.of(made_up(300, 5), VOCABULARY, "cpu")


def simulated(types: int, actions: int, seed: int = 0, known: bool = False) -> Neighbourhoods:
    generator = torch.Generator().manual_seed(seed)
    return simulate(40, types, actions, TABLE.world, generator, known)


def as_prompts(batch: Neighbourhoods, row: int) -> Prompts:
    """The same neighbourhood as an advisor would get it; its classes are the told types."""
    types, actions = ([NAMES[i] for i in ids[row]] for ids in (batch.types, batch.actions))
    catalogue = Catalogue(
        tuple(TrafficClass(name, (name,), (0,)) for name in types),
        tuple(Mitigation(name, None) for name in actions),
    )
    rewards = (batch.rewards[row].numpy() - 50) / np.float32(10)
    rewards[batch.rewards[row].numpy() == UNTRIED] = np.nan
    return Prompts(
        np.array([0], np.int8),
        batch.confidence[row : row + 1].numpy().astype(np.float32) / np.float32(100),
        batch.percents[row : row + 1].numpy().astype(np.float32) / np.float32(100),
        rewards.astype(np.float32),
        batch.candidates[row : row + 1].numpy(),
        catalogue,
    )


SHAPES = [(1, 2), (1, 8), (2, 5), (3, 8), (5, 15)]


@pytest.mark.parametrize("known", [False, True], ids=["made-up", "known"])
@pytest.mark.parametrize(("types", "actions"), SHAPES)
def test_ids_are_those_of_the_text(types: int, actions: int, known: bool) -> None:
    batch, template = simulated(types, actions, known=known), Template.read()
    packed = Layout(VOCABULARY, TABLE).pack(batch)

    for row in range(8):
        prompts = as_prompts(batch, row)
        text = VOCABULARY.tokenizer.apply_chat_template(
            messages(prompts, template)[0], tokenize=False, add_generation_prompt=True
        )
        answers = [
            printable(prompts.catalogue.action_names[a])
            for a in np.flatnonzero(prompts.candidates[0])
        ]
        (question,) = Tokens(VOCABULARY.tokenizer, "<|end|>").questions([text], [answers])
        for answer, found in zip(answers, predicted(packed, batch, row), strict=True):
            whole = VOCABULARY.pieces(f"{text}{answer}<|end|>")
            told = told_ids(packed, row)
            assert told + found == whole
        assert list(question.prompt[: len(told)]) == told


def told_ids(packed: Packed, row: int) -> list[int]:
    """The prompt's tokens: those that its last token can see."""
    last = packed.prompt_width - 1
    return [int(i) for i in packed.ids[row][packed.visible[row, last]]]


def predicted(packed: Packed, batch: Neighbourhoods, row: int) -> list[list[int]]:
    """Every candidate's tokens."""
    return [
        [int(t) for t in packed.target[row, action] if t >= 0]
        for action in range(batch.candidates.shape[1])
        if batch.candidates[row, action]
    ]


@pytest.mark.parametrize(("types", "actions"), SHAPES)
def test_rows_are_laid_out_as_the_scorer_does(types: int, actions: int) -> None:
    """What each predicting column sees, and at which positions, is the same in both."""
    batch = simulated(types, actions, seed=1)
    ours = Layout(VOCABULARY, TABLE).pack(batch)

    for row in range(8):
        candidates = predicted(ours, batch, row)
        theirs = pack([Question(told_ids(ours, row), candidates)], 0, "cpu")
        places = [a for a in range(actions) if batch.candidates[row, a]]
        for index, action in enumerate(places):
            for step in range(len(candidates[index])):
                assert seen_from(ours, row, action, step) == seen_from(theirs, 0, index, step)


def seen_from(packed: Packed, row: int, candidate: int, step: int) -> list[tuple[int, int]]:
    column = int(packed.source[row, candidate, step])
    visible = packed.visible[row, column]
    return list(
        zip(packed.positions[row][visible].tolist(), packed.ids[row][visible].tolist(), strict=True)
    )


@pytest.mark.parametrize(("types", "actions"), SHAPES)
def test_the_target_is_what_the_graph_reader_says(types: int, actions: int) -> None:
    batch = simulated(types, actions, seed=2)

    for row in np.flatnonzero(~batch.silent().numpy()):
        prompts = as_prompts(batch, row)
        reader = GraphReader(0.25)
        assert batch.promised()[row].numpy() == pytest.approx(reader.promised(prompts)[0], abs=1e-5)
        expected = np.exp(reader.log_probabilities(prompts)[0])
        assert batch.target()[row].numpy() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("types", "actions"), SHAPES)
def test_candidates_are_those_that_compose_would_leave(types: int, actions: int) -> None:
    from llm_actor.prompts import _candidates

    batch = simulated(types, actions, seed=3)

    for row in range(len(batch.types)):
        prompts = as_prompts(batch, row)
        kept = _candidates(prompts.predicted, prompts.shares, prompts.rewards)
        assert (kept == prompts.candidates).all()


def test_simulation_is_repeatable_and_varied() -> None:
    one, again, other = simulated(3, 8), simulated(3, 8), simulated(3, 8, seed=1)

    assert (one.rewards == again.rewards).all()
    assert not (one.rewards == other.rewards).all()
    assert 0.1 < simulated(3, 8).misleading().float().mean() < 0.8
    assert all(len(set(row)) == 8 for row in one.actions.tolist())


def test_where_records_are_silent_attack_decides() -> None:
    batch = simulated(1, 15, known=True)
    silent = batch.silent()

    assert 0.5 < silent.float().mean() < 1
    answers = (batch.addressed[:, 0] & batch.candidates)[silent]
    assert (batch.promised()[silent] == answers.float()).all()
    for row in torch.nonzero(answers.any(dim=1))[:, 0].tolist():
        place = int(torch.nonzero(silent)[row, 0])
        name = NAMES[int(batch.types[place, 0])]
        for action in torch.nonzero(answers[row])[:, 0].tolist():
            answer = NAMES[int(batch.actions[place, action])]
            assert attack().addresses[index(attack().types, name), index(attack().actions, answer)]


def index(names: tuple[str, ...], name: str) -> int:
    return [printable(each) for each in names].index(name)


def test_attack_names_mitigations_for_techniques_and_everyday_names() -> None:
    knowledge = attack()

    def answers(name: str) -> set[str]:
        row = knowledge.addresses[knowledge.types.index(name)]
        return {knowledge.actions[a] for a in np.flatnonzero(row)}

    assert answers("Network Denial of Service") == {"Filter Network Traffic"}
    assert answers("DDoS") == {"Filter Network Traffic"}
    assert {"Password Policies", "Multi-factor Authentication"} < answers("SSH-Patator")
    assert "No Action" in answers("Benign")
    assert "No Action" not in answers("DoS")
