"""Tables: what they show, and the same numbers for their files."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rayapp.lab.convergence import Convergence
from rayapp.lab.reproduction import tables
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.results import Results, SystemResult
from rayapp.lab.reproduction.tables import ReportTable, estimate_text, median_reached

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]


def row(table: ReportTable, title: object) -> list[str]:
    return list(table.shown.loc[title])


def test_class_rewards_stand_beside_the_papers(everything: Results) -> None:
    table = tables.class_rewards(everything, "paper")

    benign = row(table, "Benign")
    assert benign[:4] == ["-5.00", "4.900 [4.900, 4.900]", "-0.11", "4.890 [4.890, 4.890]"]
    # The paper has no figures of the last two systems.
    assert len(benign) == 3 * 2 + 2
    assert row(table, "average per flow")[0] == "1.13"
    assert row(table, "mean over classes")[0] == "–"
    # The bound's average is 4.9 and its class mean 4.
    assert row(table, "average per flow, less acting on the predicted class")[1].startswith(
        "-0.049"
    )
    numbers = table.numbers.set_index(["system", "reward"])
    web = numbers.loc[("ppo-kg", "Web")]
    assert (web["mean"], web["trials"], web["paper"]) == (1.125, 2, -4.88)


def test_intervals_are_shown_where_trials_are_several(make_system: MakeSystem) -> None:
    one, two = make_system(seeds=1), make_system(seeds=2)

    assert estimate_text(one.average, 4) == "4.8810"
    assert estimate_text(two.average, 4) == "4.8810 [4.8810, 4.8810]"
    assert estimate_text(one.average, 2, "+") == "+4.88"
    assert estimate_text(None, 4) == "–"


def test_bounds_are_those_of_the_cards(everything: Results) -> None:
    table = tables.bounds(everything)

    assert row(table, "acting on the predicted class") == ["4.9000", "4.0000"]
    assert row(table, "best action per signature") == ["4.9700", "4.2000"]


def test_never_counts_as_later_than_all() -> None:
    got = [Convergence(flows, flows / 10) for flows in (100, 300)]
    never = Convergence(None, None)

    assert median_reached([*got, never]) == {"flows": 300, "seconds": 30, "reached": 2}
    two_never = median_reached([got[0], never, never])
    assert two_never == {"flows": None, "seconds": None, "reached": 1}
    assert median_reached([*got, never, never]) == {"flows": None, "seconds": None, "reached": 2}


def test_convergence_says_never_and_how_many_got_there(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    early, never = make_system(name="ppo"), make_system(name="dl", reached=None)
    some = SystemResult("paper", "main", "llm-kg", (*early.trials, *never.trials[:1]))

    table = tables.convergence(make_results(early, never, some))

    assert row(table, ("paper settings", "PPO")) == ["3,000", "3.0", "3,000", "3.0"]
    assert row(table, ("paper settings", "DL")) == ["never", "–", "never", "–"]
    assert row(table, ("paper settings", "LLM-KG"))[0] == "3,000 (2 of 3 trials)"


def test_detection_is_the_scenarios(everything: Results) -> None:
    own = everything.scenarios[0].manifest["detection"]["Web"]

    shown = row(tables.detection(everything), "Web")

    assert shown[:2] == ["95.14", f"{100 * own['precision']:.2f}"]
    assert shown[-2:] == ["654", f"{own['support']:,}"]


def test_changes_are_compared_with_ppo_kg(everything: Results) -> None:
    table = tables.changes(everything, "ablation", "kirl")

    assert table is not None
    # A web reward of 0.5 and a Benign reward of 4.9, against 1.125 and 4.89.
    assert row(table, "lambda stays 1")[2].startswith("-0.3075")
    assert row(table, "PPO-KG as it is")[2] == "–"


def test_no_changes_make_no_table(make_system: MakeSystem, make_results: MakeResults) -> None:
    results = make_results(make_system(preset="kirl"))

    assert tables.changes(results, "ablation", "kirl") is None


def test_costs_stand_beside_the_papers(costs: Costs) -> None:
    table = tables.decision_costs(costs)

    assert row(table, "the policy alone (PPO)")[:3] == ["1.7", "0.3", "0.9"]
    asked = row(table, "kirl's embedded language model asked about every flow")
    assert asked[:2] == ["880", "6.1"]
    assert table.numbers["median ms"].tolist() == pytest.approx([0.3, 0.4, 6.1])
