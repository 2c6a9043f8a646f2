from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import PAPER, BetaPrior, InputError, InteractionTable, ThreatMitigationVectorEnv
from envs.state import FlowSet
from kg_actor import KnowledgeGraph, MergeKey, Records, records_of
from llm_actor import AdviceDesk, AdviceTable, GraphReader, Prompts, compose

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
    return records_of(graph.counts(), PAPER, BetaPrior())


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
    advisor: CountingAdvisor, graph: KnowledgeGraph
) -> None:
    desk = AdviceDesk(advisor, PAPER, cache_size=4)
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
    graph = KnowledgeGraph(flow_set.contexts.predicted, PAPER)
    suggestion = desk.advise(records(graph)).suggestion
    env = ThreatMitigationVectorEnv(flow_set, 10, augmented=True)

    env.set_suggestion(suggestion)
    observation, info = env.reset(seed=0)

    assert observation in env.observation_space
    assert np.array_equal(observation[:, 5], suggestion.action[info["signature"]])


class PatientAdvisor(CountingAdvisor):
    """Answers when told to, from the second question on."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        if self.asked:
            assert self.told.wait(timeout=20)
        return super().log_probabilities(prompts)


@pytest.fixture
def patient() -> PatientAdvisor:
    return PatientAdvisor()


@pytest.fixture
def busy_desk(patient: PatientAdvisor) -> Iterator[AdviceDesk]:
    """A desk that goes on without waiting, for at most three versions."""
    desk = AdviceDesk(patient, PAPER, wait=False, max_age=3)
    yield desk
    patient.told.set()
    desk.close()


def settled(desk: AdviceDesk, graph: KnowledgeGraph) -> AdviceTable:
    """The table once the answers on their way have come."""
    for _ in range(200):
        table = desk.advise(records(graph))
        if not table.stale:
            return table
        time.sleep(0.01)
    raise AssertionError("the answers never came")


def test_training_goes_on_with_the_last_table_meanwhile(
    busy_desk: AdviceDesk, patient: PatientAdvisor, graph: KnowledgeGraph
) -> None:
    first = busy_desk.advise(records(graph))
    learn(graph, [(3, VALIDATE, WEB, 5)])

    meanwhile = busy_desk.advise(records(graph))
    patient.told.set()
    later = settled(busy_desk, graph)

    assert (first.stale, first.age, first.asked) == (0, 0, 3)
    assert (meanwhile.stale, meanwhile.age, meanwhile.asked) == (1, 1, 0)
    assert np.array_equal(meanwhile.log_probabilities, first.log_probabilities)
    assert PAPER.action_names[later.suggestion.action[3]] == "Input Validation"
    assert patient.asked == [3, 1]


def test_advice_that_would_be_too_old_is_waited_for(
    busy_desk: AdviceDesk, patient: PatientAdvisor, graph: KnowledgeGraph
) -> None:
    busy_desk.advise(records(graph))
    ages = []
    for number in range(3):
        learn(graph, [(3, VALIDATE, WEB, 5 + number), (3, FILTER, WEB, 1 + 9 * number)])
        ages.append(busy_desk.advise(records(graph)).age)
    learn(graph, [(3, VALIDATE, WEB, 90)])
    threading.Timer(0.2, patient.told.set).start()

    table = busy_desk.advise(records(graph))

    assert ages == [1, 2, 3]
    assert table.age <= 3
    assert table.asked > 0


def test_answers_that_come_late_still_count_for_their_version(
    busy_desk: AdviceDesk, patient: PatientAdvisor, graph: KnowledgeGraph
) -> None:
    busy_desk.advise(records(graph))
    learn(graph, [(3, VALIDATE, WEB, 5)])
    busy_desk.advise(records(graph))  # asks about version 2
    learn(graph, [(3, FILTER, WEB, 50)])
    patient.told.set()

    while (table := busy_desk.advise(records(graph))).asked == 0:
        time.sleep(0.01)

    # Version 2's advice is in the table although version 3's is not there yet.
    assert table.age in (0, 1)
    assert PAPER.action_names[table.suggestion.action[3]] == "Input Validation"


def test_a_graph_that_went_back_is_advised_anew(
    busy_desk: AdviceDesk, patient: PatientAdvisor, graph: KnowledgeGraph
) -> None:
    patient.told.set()
    old = records(graph)
    expected = busy_desk.advise(old)
    learn(graph, [(0, FILTER, BENIGN, 500)])
    settled(busy_desk, graph)

    again = busy_desk.advise(old)

    assert np.array_equal(again.log_probabilities, expected.log_probabilities)
    assert (again.stale, again.version) == (0, expected.version)


def test_with_and_without_waiting_the_advice_ends_up_the_same(
    desk: AdviceDesk, busy_desk: AdviceDesk, patient: PatientAdvisor, graph: KnowledgeGraph
) -> None:
    patient.told.set()
    rng = np.random.default_rng(0)
    for _ in range(30):
        row = (int(rng.integers(4)), int(rng.integers(15)), int(rng.integers(8)), 3)
        learn(graph, [row])
        desk.advise(records(graph))
        busy_desk.advise(records(graph))

    waited, went_on = desk.advise(records(graph)), settled(busy_desk, graph)

    assert np.array_equal(waited.log_probabilities, went_on.log_probabilities)
    assert np.array_equal(waited.suggestion.action, went_on.suggestion.action)


def test_what_goes_wrong_in_the_thread_is_said(graph: KnowledgeGraph) -> None:
    class Broken(CountingAdvisor):
        def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
            raise InputError("the model is gone")

    desk = AdviceDesk(Broken(), PAPER, wait=False)

    with pytest.raises(InputError, match="the model is gone"):
        desk.advise(records(graph))
    desk.close()


class FallingBack(CountingAdvisor):
    """Answers every other prompt itself, until it is well again."""

    well = False

    def answers(self, prompts: Prompts) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        own = np.arange(len(prompts)) % 2 == 0
        return self.log_probabilities(prompts), own | self.well


@pytest.mark.parametrize("wait", [True, False])
def test_what_an_advisor_falls_back_on_is_used_and_not_kept(
    graph: KnowledgeGraph, wait: bool
) -> None:
    advisor = FallingBack()
    desk = AdviceDesk(advisor, PAPER, wait=wait)
    expected = GraphReader().log_probabilities(compose(records(graph), PAPER))

    first = desk.advise(records(graph))
    advisor.well = True
    again = settled(desk, graph)
    desk.advise(records(graph))
    desk.close()

    assert first.log_probabilities == pytest.approx(expected, abs=1e-6)
    assert again.log_probabilities == pytest.approx(expected, abs=1e-6)
    # Three at first; the one that the fallback answered once more; then none.
    assert advisor.asked == [3, 1]
