from __future__ import annotations

import numpy as np
import pytest
import torch

from envs.catalogue import Catalogue, Mitigation, TrafficClass
from kg_actor.filtering import open_actions
from llm_actor import GraphReader, Prompts
from llm_actor.labels import label, labels
from llm_actor.text import Template, messages, printable
from llm_actor.tokens import Tokens
from rayapp.lab.small_model.knowledge import attack
from rayapp.lab.small_model.layout import LONGEST, Layout, Names, joined
from rayapp.lab.small_model.names import made_up
from rayapp.lab.small_model.simulation import Neighbourhoods, simulate
from rayapp.lab.small_model.vocabulary import ONE_TOKEN, UNTRIED, Vocabulary, build

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


def text_of(prompts: Prompts) -> str:
    text: str = VOCABULARY.tokenizer.apply_chat_template(
        messages(prompts, Template.read())[0], tokenize=False, add_generation_prompt=True
    )
    return text


@pytest.mark.parametrize("known", [False, True], ids=["made-up", "known"])
@pytest.mark.parametrize(("types", "actions"), SHAPES)
def test_ids_are_those_of_the_text(types: int, actions: int, known: bool) -> None:
    batch = simulated(types, actions, known=known)
    rows = Layout(VOCABULARY, TABLE).rows(batch)

    for row in range(8):
        prompts = as_prompts(batch, row)
        answers = labels(int(prompts.candidates.sum()))
        (question,) = Tokens(VOCABULARY.tokenizer).questions([text_of(prompts)], [answers])
        assert rows.ids[row, : rows.lengths[row]].tolist() == list(question.prompt)
        assert [[i] for i in rows.labels[row, : len(answers)].tolist()] == question.candidates


@pytest.mark.parametrize(("types", "actions"), SHAPES)
def test_lines_end_with_their_labels(types: int, actions: int) -> None:
    batch = simulated(types, actions, seed=1)
    rows = Layout(VOCABULARY, TABLE).rows(batch)

    assert (rows.listed.sum(dim=1) == batch.candidates.sum(dim=1)).all()
    assert (rows.ids.gather(1, rows.lines)[rows.listed] == rows.labels[rows.listed]).all()
    for row in range(8):
        promised = batch.promised()[row][batch.candidates[row]]
        assert rows.promised[row][rows.listed[row]].tolist() == promised.tolist()
        assert rows.target[row].sum() == pytest.approx(1, abs=1e-5)


def test_lines_can_have_other_labels() -> None:
    batch, layout = simulated(2, 5), Layout(VOCABULARY, TABLE)
    usual, other = (
        layout.rows(batch),
        layout.rows(batch, torch.tensor([[7, 40, 99, 300, 701]] * 40)),
    )

    assert (usual.lengths == other.lengths).all()
    changed = usual.ids != other.ids
    assert (changed.sum(dim=1) == batch.candidates.sum(dim=1)).all()
    text = VOCABULARY.tokenizer.decode(other.labels[0][other.listed[0]])
    assert "[AO]" in text or "[H]" in text


def test_rows_of_different_shapes_can_be_joined_and_taken_apart() -> None:
    layout = Layout(VOCABULARY, TABLE)
    parts = [layout.rows(simulated(*shape)) for shape in SHAPES]

    whole = joined(parts)

    assert len(whole) == 40 * len(SHAPES)
    for index, part in enumerate(parts):
        again = whole.take(torch.arange(40 * index, 40 * (index + 1)), multiple=8)
        assert again.ids.shape[1] % 8 == 0
        assert (again.lengths == part.lengths).all()
        for row in range(40):
            length = int(part.lengths[row])
            assert (again.ids[row, :length] == part.ids[row, :length]).all()
            assert not again.ids[row, length:].any()
        lines = again.listed.shape[1]
        assert not part.listed[:, lines:].any()
        assert (again.target == part.target[:, :lines]).all()


def test_every_label_is_one_token_at_a_line_s_end_and_as_the_answer() -> None:
    assert len(set(VOCABULARY.labels)) == ONE_TOKEN
    for place in (0, 25, 26, ONE_TOKEN - 1):
        line = VOCABULARY.pieces(f": 4.9 {label(place)}\n")
        assert line == [VOCABULARY.first_rewards[99], VOCABULARY.labels[place]]
        assert VOCABULARY.pieces(label(place)) == [VOCABULARY.labels[place]]


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
    batch = simulated(types, actions, seed=3)

    for row in range(len(batch.types)):
        prompts = as_prompts(batch, row)
        kept = open_actions(prompts.predicted, prompts.shares, prompts.rewards)
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
