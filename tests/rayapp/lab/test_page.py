"""The demo's page: well-formed, self-contained, true to the runs, and safe from odd names."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from envs import InputError, InteractionTable, Scenario
from envs.score import CorrectAction, Score, Scorecard
from kg_actor import GraphSpec, Keyed, MergeKey
from kg_actor.store import GraphStore
from rayapp.config import TrainingSettings
from rayapp.lab.page import write_page
from rayapp.rl.saved_policy import TablePolicy
from rayapp.runs.folder import ProgressLine, RunFolder, RunManifest

SETTINGS = {"flows": 2_000_000, "seed": 7, "learning": {"epochs": 4}}


def make_run(path: Path, scenario: Scenario, algo: str) -> RunFolder:
    folder = RunFolder(path)
    settings = TrainingSettings.model_validate({"algo": algo, **SETTINGS})
    scenario.copy_to(folder.scenario_folder)
    folder.write(
        RunManifest(
            name=f"{algo}-1234",
            settings=settings,
            fingerprint=scenario.fingerprint,
            kind=scenario.kind,
            state="complete",
            flows=2_000_000,
            seconds=2.5,
        )
    )
    for i in range(1, 9):
        classes = {"Benign": i - 4.0} | ({"Web": 1.0} if i % 2 else {})
        learner = {"lambda": 1 - i / 8, "reference_kl": 0.5 / i, "entropy": float("nan")}
        line = ProgressLine(i, 250_000 * i, 0.3 * i, i - 4.0, classes, i, 0, learner)
        folder.append_progress(line)
    signature, actual = scenario.test
    table = InteractionTable.tally(signature, actual, actual)
    graph = GraphStore.open(folder.graph_folder, GraphSpec.of(scenario))
    graph.merge([Keyed(MergeKey("run", 1, 0), table)])
    graph.close()
    usual = scenario.catalogue.best_actions[scenario.signatures.predicted]
    table_of_best = np.eye(len(scenario.catalogue.actions))[usual]
    TablePolicy(table_of_best, scenario.fingerprint).save(folder.policy_folder)
    return folder


@pytest.fixture(scope="module")
def folders(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    place = tmp_path_factory.mktemp("runs")
    return {
        "ppo": make_run(place / "ppo", scenario, "ppo"),
        "ppo-kg": make_run(place / "ppo-kg", scenario, "ppo-kg"),
    }


def card(average: float, class_mean: float, web: float = -1.125) -> Scorecard:
    return Scorecard(
        score=Score(average, class_mean, {"Benign": 4.987, "Web": web}),
        correct_action=CorrectAction(0.98765, 1.0, None),
        predicted_class=Score(4.7511, 4.0011, {"Benign": 4.9, "Web": 3.102}),
        signature_oracle=Score(4.9622, 4.5022, {"Benign": 4.96, "Web": 4.044}),
        flows=12_345,
        misdetected=62,
        flows_per_class={"Benign": 12_000, "Web": 345},
    )


CARDS = {"ppo": card(4.8111, 3.2), "ppo-kg": card(4.9000, 3.9)}


@pytest.fixture(scope="module")
def page(folders: dict[str, RunFolder], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "index.html"
    return write_page(path, folders, CARDS, "graph.html").read_text(encoding="utf-8")


def plain(page: str) -> str:
    root = ET.fromstring(page.partition("\n")[2])  # noqa: S314 (our own output)
    return " ".join(" ".join(root.itertext()).split())


def test_page_is_well_formed_and_needs_nothing_from_elsewhere(page: str) -> None:
    assert page.startswith("<!DOCTYPE html>\n")
    assert plain(page)
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', page) == ['href="graph.html"']
    assert "<script" not in page
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_no_two_elements_share_an_id(page: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', page)

    assert len(ids) == len(set(ids))


def test_every_picture_says_what_it_shows(page: str) -> None:
    # Two of the average, one per class, lambda and KL of ppo-kg.
    assert len(re.findall(r"<svg\b", page)) == 2 + 2 + 2
    assert len(re.findall(r'<svg role="img" aria-label="[^"]{20,}"', page)) == 6


def test_page_opens_with_what_the_policy_would_do(page: str, scenario: Scenario) -> None:
    said = plain(page)
    detected = set(scenario.signatures.predicted[scenario.test[0]].tolist())

    opening = said[: said.index("Reward per flow")]
    assert "What ppo-kg would do" in opening
    for number in detected:
        best = scenario.catalogue.action_names[scenario.catalogue.best_actions[number]]
        assert f"{scenario.catalogue.class_names[number]} " in opening
        assert f"{best} 100 % sure" in opening
    assert "12,345 test flows kept apart" in opening
    assert "62 of them ( 0.50 %)" in opening or "62 of them (0.50 %)" in opening


def test_page_holds_every_figure_of_the_cards(page: str) -> None:
    said = plain(page)

    for figure in ("4.987", "-1.125", "3.102", "4.044", "12,000", "345"):
        assert figure in said
    for figure in ("4.8111", "4.9000", "3.2000", "3.9000", "4.7511", "4.9622", "98.77 %"):
        assert figure in said
    for name in CARDS["ppo"].flows_per_class:
        assert f"<th>{name}</th>" in page


def test_page_says_that_flows_are_synthetic(page: str) -> None:
    assert '<p class="kind note">Synthetic flows: generated' in page


def test_graph_is_counted_beside_the_papers(page: str, folders: dict[str, RunFolder]) -> None:
    said = plain(page)

    assert f"signatures of the detector {len(folders['ppo-kg'].graph().predicted)} 1,451" in said
    assert "1,306" in said
    assert "1,382" in said


def test_commands_are_those_of_the_runs(page: str) -> None:
    said = plain(page)

    assert "kirl prepare --synthetic 300 --seed 0 --out scenario" in said
    assert (
        "kirl train --scenario scenario --algo ppo-kg --flows 2000000 --seed 7 "
        "--set learning.epochs=4 --out ppo-kg"
    ) in said
    assert "kirl evaluate --run ppo" in said


def test_names_are_escaped(folders: dict[str, RunFolder], tmp_path: Path) -> None:
    odd = "<i>a&b</i>"
    path = write_page(tmp_path / "page.html", {odd: folders["ppo-kg"]}, {odd: CARDS["ppo"]})

    text = path.read_text(encoding="utf-8")

    assert "<i>" not in text
    assert odd in plain(text)


def test_runs_of_different_scenarios_are_not_compared(
    folders: dict[str, RunFolder], tmp_path: Path
) -> None:
    other = RunFolder(tmp_path / "other")
    manifest = folders["ppo"].manifest()
    other.write(manifest.model_copy(update={"fingerprint": "0" * 64}))

    with pytest.raises(InputError, match="different scenarios"):
        write_page(tmp_path / "page.html", folders | {"ppo": other}, CARDS)
    assert not (tmp_path / "page.html").exists()


def test_a_run_without_its_card_is_refused(folders: dict[str, RunFolder], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a scorecard"):
        write_page(tmp_path / "page.html", folders, {"ppo": CARDS["ppo"]})
