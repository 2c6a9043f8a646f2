from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import PAPER, BetaPrior, InteractionTable, ThreatMitigationVectorEnv
from envs.bandit import FlowSet
from kg_actor import KnowledgeGraph, MergeKey, Records, records_of
from llm_actor import AdviceDesk, GraphReader, Prompts, advice, compose

DOS, BENIGN, DDOS, WEB = (PAPER.class_index(n) for n in ("DoS", "Benign", "DDoS", "Web"))
FILTER, VALIDATE, NOTHING = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "Input Validation", "No Action")
)

PREDICTED = np.array([DOS, DOS, BENIGN, WEB], np.int8)


class CountingAdvisor:
    """Reads the graph, and remembers how many prompts it was asked each time."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._reader = GraphReader()

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        self.asked.append(len(prompts))
        return self._reader.log_probabilities(prompts)


@pytest.fixture
def advisor() -> CountingAdvisor:
    return CountingAdvisor()


@pytest.fixture
def desk(advisor: CountingAdvisor) -> AdviceDesk:
    return AdviceDesk(advisor, PAPER)


@pytest.fixture
def graph() -> KnowledgeGraph:
    """Signatures 0 and 1 say DoS and have the same records, 2 says Benign, 3 says Web."""
    graph = KnowledgeGraph(PREDICTED, PAPER)
    learn(graph, [(0, FILTER, DOS, 10), (1, FILTER, DOS, 10), (2, NOTHING, BENIGN, 10)])
    return graph


def learn(graph: KnowledgeGraph, rows: list[tuple[int, int, int, int]]) -> None:
    table = InteractionTable.tally(*np.array(rows).T)
    graph.merge(table, MergeKey("run", graph.version, 0))


def records(graph: KnowledgeGraph) -> Records:
    return records_of(graph.counts(), graph.predicted, PAPER, BetaPrior())


def test_equal_prompts_are_asked_once(
    desk: AdviceDesk, advisor: CountingAdvisor, graph: KnowledgeGraph
) -> None:
    table = desk.advise(records(graph))

    assert advisor.asked == [3]
    assert table.asked == 3
    assert np.array_equal(table.log_probabilities[0], table.log_probabilities[1])


def test_nothing_is_asked_again_while_no_prompt_changes(
    desk: AdviceDesk, advisor: CountingAdvisor, graph: KnowledgeGraph
) -> None:
    first = desk.advise(records(graph))
    graph.merge(InteractionTable.empty(), MergeKey("run", 99, 0))

    second = desk.advise(records(graph))

    assert advisor.asked == [3]
    assert (first.asked, second.asked) == (3, 0)
    assert (first.version, second.version) == (1, 2)
    assert np.array_equal(first.log_probabilities, second.log_probabilities)


def test_only_changed_prompts_are_asked_again(
    desk: AdviceDesk, advisor: CountingAdvisor, graph: KnowledgeGraph
) -> None:
    desk.advise(records(graph))
    learn(graph, [(3, VALIDATE, WEB, 5)])

    table = desk.advise(records(graph))

    assert advisor.asked == [3, 1]
    assert table.asked == 1
    assert PAPER.action_names[table.suggestion.action[3]] == "Input Validation"


def test_signature_that_no_longer_shares_a_prompt_is_asked_by_itself(
    desk: AdviceDesk, advisor: CountingAdvisor, graph: KnowledgeGraph
) -> None:
    desk.advise(records(graph))
    learn(graph, [(1, FILTER, DOS, 40)])

    desk.advise(records(graph))

    assert advisor.asked == [3, 1]


def test_table_is_what_the_advisor_says_of_every_signature(
    desk: AdviceDesk, graph: KnowledgeGraph
) -> None:
    learn(graph, [(1, NOTHING, BENIGN, 90), (3, FILTER, WEB, 2), (3, VALIDATE, DOS, 3)])
    expected = GraphReader().log_probabilities(compose(records(graph), PAPER))

    for _ in range(2):
        table = desk.advise(records(graph))

        assert table.log_probabilities == pytest.approx(expected, abs=1e-6)
        assert table.log_probabilities.dtype == np.float32
        assert np.array_equal(table.suggestion.action, expected.argmax(axis=1))


def test_suggested_reward_is_the_exact_record_and_not_the_rounded_one(
    desk: AdviceDesk, graph: KnowledgeGraph
) -> None:
    learn(graph, [(3, VALIDATE, WEB, 6), (3, VALIDATE, DOS, 1)])

    table = desk.advise(records(graph))

    assert table.suggestion.action.tolist() == [FILTER, FILTER, NOTHING, VALIDATE]
    assert table.suggestion.reward.tolist() == [5, 5, 5, np.float32((6 * 5 - 5) / 7)]
    assert table.suggestion.action.dtype == np.int16
    assert table.suggestion.reward.dtype == np.float32


def test_suggested_reward_is_the_predicted_types_and_not_the_confused_ones(
    desk: AdviceDesk,
) -> None:
    graph = KnowledgeGraph(np.array([BENIGN, DDOS], np.int8), PAPER)
    learn(graph, [(0, NOTHING, BENIGN, 1), (0, NOTHING, DDOS, 9), (0, FILTER, BENIGN, 1)])
    learn(graph, [(0, FILTER, DDOS, 9), (1, FILTER, DDOS, 9), (1, NOTHING, DDOS, 9)])

    table = desk.advise(records(graph))

    assert table.suggestion.action.tolist() == [FILTER, FILTER]
    assert table.suggestion.reward.tolist() == [4.0, 5.0]


def test_suggested_reward_is_zero_without_a_record(desk: AdviceDesk) -> None:
    table = desk.advise(records(KnowledgeGraph(PREDICTED, PAPER)))

    assert table.suggestion.reward.tolist() == [0, 0, 0, 0]
    assert not np.isnan(table.log_probabilities).any()


def test_answers_that_were_needed_longest_ago_are_forgotten_first(
    desk: AdviceDesk,
    advisor: CountingAdvisor,
    graph: KnowledgeGraph,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(advice, "CACHE_SIZE", 4)
    old = records(graph)
    desk.advise(old)
    learn(graph, [(3, VALIDATE, WEB, 5)])
    newer = records(graph)
    desk.advise(newer)
    learn(graph, [(3, FILTER, WEB, 5)])

    desk.advise(records(graph))
    desk.advise(newer)
    desk.advise(old)

    assert advisor.asked == [3, 1, 1, 1]


def test_environment_takes_the_suggestion_as_it_is(desk: AdviceDesk, flow_set: FlowSet) -> None:
    graph = KnowledgeGraph(flow_set.predicted, PAPER)
    suggestion = desk.advise(records(graph)).suggestion
    env = ThreatMitigationVectorEnv(flow_set, 10, augmented=True)

    env.set_suggestion(suggestion)
    observation, info = env.reset(seed=0)

    assert observation in env.observation_space
    assert np.array_equal(observation[:, 5], suggestion.action[info["signature"]])
