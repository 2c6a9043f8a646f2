"""Tables: what they show, and the same numbers in their CSV files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from envs import InputError
from rayapp.lab.convergence import Convergence
from rayapp.lab.reproduction import tables
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.data import Data
from rayapp.lab.reproduction.results import Results, SystemResult
from rayapp.lab.reproduction.tables import Table

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]


def row(table: Table, title: str) -> list[str]:
    (found,) = [row for body in table.bodies for row in body if row.title == title]
    return [cell.text for cell in found.cells]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_come_back_from_csv_as_they_were(tmp_path: Path) -> None:
    odd = 'a "quoted", name\nover two lines'
    data = Data("odd", ("name", "value", "missing"), ((odd, 1 / 3, None), ("b", -5, None)))

    rows = read(data.write(tmp_path / "new" / "folder"))

    assert [one["name"] for one in rows] == [odd, "b"]
    assert [float(one["value"]) for one in rows] == [1 / 3, -5]
    assert [one["missing"] for one in rows] == ["", ""]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")

    with pytest.raises(InputError, match="data"):
        Data("numbers", ("a",), ()).write(tmp_path / "data")


def test_every_row_of_a_table_has_a_cell_per_head(everything: Results, costs: Costs) -> None:
    ablation, others = (tables.changes(everything, part) for part in ("ablation", "others"))
    assert ablation is not None
    assert others is not None
    made = [
        *(tables.class_rewards(everything, label) for label in everything.labels),
        *(tables.bounds(everything), tables.detection(everything), ablation, others),
        *(tables.convergence(everything), tables.graph_sizes(everything)),
        tables.decision_costs(costs),
    ]

    assert len({table.data.name for table in made}) == len(made)
    for table in made:
        assert {len(row.cells) + 1 for body in table.bodies for row in body} == {len(table.heads)}
        if table.groups:
            assert sum(span for _, span in table.groups) == len(table.heads)
        assert {len(row) for row in table.data.rows} == {len(table.data.columns)}


def test_class_rewards_stand_beside_the_papers(everything: Results, tmp_path: Path) -> None:
    table = tables.class_rewards(everything, "paper")

    benign = row(table, "Benign")
    assert benign[:6] == ["−5.00", "4.900", "−0.11", "4.890", "4.99", "4.880"]
    assert benign[6:] == ["4.870", "4.860"]
    average = row(table, "average per flow")
    assert average[:2] == ["1.13", "4.8510"]
    assert row(table, "mean over classes")[:2] == ["–", "2.4500"]
    # The bound's average is 4.9 and its class mean 4.
    assert row(table, "average, less acting on the predicted class")[1] == "−0.0490"
    rows = read(table.data.write(tmp_path))
    (web,) = [one for one in rows if (one["system"], one["class"]) == ("ppo-kg", "Web")]
    assert (float(web["mean"]), web["trials"], web["paper"]) == (1.125, "2", "-4.88")


def test_intervals_are_shown_where_trials_are_several(make_system: MakeSystem) -> None:
    one, two = make_system(seeds=1), make_system(seeds=2)

    assert tables.estimate_cell(one.average, 4).note == ""
    assert " to " in tables.estimate_cell(two.average, 4).note
    assert tables.estimate_cell(None, 4).text == "–"


def test_a_difference_stands_out_only_if_several_trials_agree(make_system: MakeSystem) -> None:
    def look(seeds: int) -> str:
        less, _ = make_system(seeds=seeds, benign=1.0).against(lambda card: card.predicted_class)
        return tables.difference_cell(less).look

    assert (look(1), look(2)) == ("", "apart")


def test_never_counts_as_later_than_all() -> None:
    got = [Convergence(flows, flows / 10) for flows in (100, 300)]
    never = Convergence(None, None)

    assert tables.median_reached([*got, never]) == tables.Median(300, 30, 2)
    assert tables.median_reached([got[0], never, never]) == tables.Median(None, None, 1)
    assert tables.median_reached([*got, never, never]) == tables.Median(None, None, 2)


def test_convergence_says_never_and_how_many_got_there(
    make_system: MakeSystem, make_results: MakeResults
) -> None:
    early, never = make_system(name="ppo"), make_system(name="dl", reached=None)
    some = SystemResult("paper", "main", "llm-kg", (*early.trials, *never.trials[:1]))

    table = tables.convergence(make_results(early, never, some))

    assert row(table, "PPO, paper settings") == ["3,000", "3.0", "3,000", "3.0"]
    assert row(table, "DL, paper settings") == ["never", "–", "never", "–"]
    (told,) = [r for r in table.bodies[0] if r.title == "LLM-KG, paper settings"]
    assert told.cells[0].note == "2 of 3 trials got there"


def test_detection_is_the_scenarios(everything: Results) -> None:
    own = everything.scenarios[0].manifest["detection"]["Web"]

    shown = row(tables.detection(everything), "Web")

    assert shown[:2] == ["95.14", f"{100 * own['precision']:.2f}"]
    assert shown[-2:] == ["654", f"{own['support']:,}"]


def test_changes_are_compared_with_ppo_kg(everything: Results) -> None:
    table = tables.changes(everything, "ablation")

    assert table is not None
    # A web reward of 0.5 and a Benign reward of 4.9, against 1.125 and 4.89.
    assert row(table, "lambda stays 1")[2] == "−0.3075"
    assert row(table, "PPO-KG as it is")[2] == "–"


def test_no_changes_make_no_table(make_system: MakeSystem, make_results: MakeResults) -> None:
    assert tables.changes(make_results(make_system(label="kirl")), "ablation") is None


def test_costs_stand_beside_the_papers(costs: Costs) -> None:
    table = tables.decision_costs(costs)

    assert row(table, "the policy alone (PPO)")[:3] == ["1.7", "0.3", "0.9"]
    assert [cell.text for cell in table.bodies[0][2].cells[:2]] == ["880", "6.1"]
