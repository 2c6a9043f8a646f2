"""The page: well-formed, self-contained, complete, and safe from what names hold."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from envs import InputError, Scenario
from envs.score import Score
from rayapp.lab.reproduction.costs import Costs
from rayapp.lab.reproduction.findings import CLAIMS
from rayapp.lab.reproduction.page import commands, write_page
from rayapp.lab.reproduction.plan import ABLATIONS, OPEN_CHOICES, PAPER_SETTINGS
from rayapp.lab.reproduction.results import Results, SystemResult

MakeSystem = Callable[..., SystemResult]
MakeResults = Callable[..., Results]


@pytest.fixture(scope="module")
def out(everything: Results, costs: Costs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests only read; drawing all plots takes seconds."""
    folder = tmp_path_factory.mktemp("page")
    assert write_page(folder, everything, costs, quick=True) == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def little(make_system: MakeSystem, make_results: MakeResults) -> Results:
    """One system under one preset, trained once."""
    return make_results(make_system(preset="kirl", name="ppo", seeds=1))


def plain(page: str) -> str:
    root = ET.fromstring(page.partition("\n")[2])  # noqa: S314 (our own output)
    return " ".join(" ".join(root.itertext()).split())


def test_page_is_well_formed_and_needs_nothing_from_elsewhere(page: str) -> None:
    assert page.startswith("<!DOCTYPE html>\n<html")
    assert plain(page)
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', page) == []
    assert "<script" not in page
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_no_two_elements_share_an_id_and_links_lead_somewhere(page: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', page)

    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)


def test_every_plot_is_on_the_page_and_beside_it(page: str, out: Path) -> None:
    # Twice Figs. 3 and 4, and Fig. 5, under both presets.
    assert len(re.findall(r'<svg role="img" aria-label="[^"]{20,}"', page)) == 10
    drawn = sorted((out / "figures").glob("*.png"))
    assert len(drawn) == 10
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in drawn)


def test_every_table_and_plot_has_its_numbers_beside_it(out: Path) -> None:
    names = {file.stem for file in (out / "data").iterdir()}

    both = ("findings", "table_4", "figure_3", "figure_4", "figure_5", "ablation")
    alone = {"table_5", "bounds", "convergence", "graph_size", "cost", "others"}
    # A closer view has the numbers of the whole one: one file serves both.
    assert names == {f"{name}_{preset}" for name in both for preset in ("paper", "kirl")} | alone
    with (out / "data" / "findings_kirl.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(CLAIMS)
    tabulated = {file.stem for file in (out / "data").glob("*.tex")}
    assert tabulated == {name for name in names if not name.startswith("figure")}


def test_nothing_temporary_is_left(out: Path) -> None:
    left = {path.name for path in out.rglob("*") if path.name.startswith(".")}

    assert left == set()


def test_page_says_what_the_flows_are_and_how_short_the_trainings(page: str) -> None:
    said = plain(page)

    assert "Synthetic flows: generated" in said
    assert "Quick run" in said
    assert "300 rows read" in said
    assert "Trainings per system 2, on 1 split of the flows" in said


def test_a_full_run_has_no_quick_badge(little: Results, costs: Costs, tmp_path: Path) -> None:
    text = write_page(tmp_path, little, costs, quick=False).read_text(encoding="utf-8")

    assert "Quick run" not in text


def test_page_holds_systems_findings_choices_and_settings(page: str) -> None:
    said = plain(page)

    for name in ("PPO", "PPO-KG", "PPO-KG-PT", "LLM-KG", "DL", "linucb", "lambda stays 1"):
        assert name in said
    for claim in CLAIMS:
        assert claim.text in said
    # What was found comes before everything else.
    assert said.index(CLAIMS[-1].text) < said.index("Reward by class")
    for name, _ in OPEN_CHOICES:
        assert name in said
    for assignment in PAPER_SETTINGS:
        assert assignment.partition("=")[0] in said
    assert "1,306" in said
    assert "1,382" in said


def test_page_says_how_to_make_it_again(everything: Results, costs: Costs, page: str) -> None:
    told = commands(everything, costs, quick=True)

    assert told.splitlines() == [
        "kirl prepare --synthetic 300 --seed 0 --out scenario",
        "kirl reproduce --scenario scenario --settings both --seeds 2 --quick --out reproduction",
    ]
    assert told.splitlines()[1] in plain(page)


def test_several_splits_and_another_advisor_are_in_the_command(
    make_system: MakeSystem, make_results: MakeResults, scenario: Scenario, costs: Costs
) -> None:
    results = make_results(make_system(seeds=4), scenarios=(scenario, scenario))

    told = commands(results, replace(costs, kind="endpoint"), quick=False).splitlines()

    assert told[1].endswith("--out scenario-1")
    assert told[2] == (
        "kirl reproduce --scenario scenario-0 --scenario scenario-1 --settings paper --seeds 2 "
        "--advisor endpoint --out reproduction"
    )


def test_one_label_alone_makes_a_page(little: Results, costs: Costs, tmp_path: Path) -> None:
    said = plain(write_page(tmp_path, little, costs, quick=True).read_text(encoding="utf-8"))

    assert "Trained with kirl settings" in said
    assert "Trained with paper settings" not in said
    assert "one ingredient changed" not in said
    assert "Trainings per system 1, on 1 split" in said
    assert "the band spans" not in said


def test_names_are_escaped(
    make_system: MakeSystem, make_results: MakeResults, costs: Costs, tmp_path: Path
) -> None:
    odd = "<script>alert(1)</script>&\"'"
    system = make_system(preset="kirl", name="ppo-kg")
    trials = []
    for trial in system.trials:
        score = replace(trial.card.score, per_class={odd: 1.0})
        bound = Score(4.9, 4.0, {odd: 1.0})
        card = replace(trial.card, score=score, predicted_class=bound)
        trials.append(replace(trial, card=card))
    results = make_results(
        replace(system, trials=tuple(trials)),
        make_system(preset="kirl", experiment="ablation", name=odd),
        make_system(preset="kirl", experiment="figure 3", name=odd),
    )

    page = write_page(tmp_path, results, replace(costs, advisor=odd, kind=odd), quick=True)
    text = page.read_text(encoding="utf-8")

    assert "<script" not in text
    assert plain(text).count("<script>alert(1)</script>&") >= 5


def test_a_page_that_cannot_be_written_is_refused(
    little: Results, costs: Costs, tmp_path: Path
) -> None:
    (tmp_path / "figures").write_text("a file in the way")

    with pytest.raises(InputError, match="figures"):
        write_page(tmp_path, little, costs, quick=True)
    assert not (tmp_path / "index.html").exists()


def test_every_ablation_can_be_named_on_a_page() -> None:
    assert len({name for name, _ in ABLATIONS}) == len(ABLATIONS)
