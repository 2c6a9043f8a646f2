"""Which trainings reproduce the paper, and with which settings."""

from __future__ import annotations

from collections import Counter

from rayapp import algorithms, config
from rayapp.config import TrainingSettings
from rayapp.lab.reproduction import paper
from rayapp.lab.reproduction.plan import (
    ABLATIONS,
    CHANGES,
    FULL,
    MECHANISMS,
    OTHERS,
    PAPER_SETTINGS,
    QUICK,
    SYSTEMS,
    Scale,
    Trial,
    plan,
)

FLOWS = 1_979_513
"""Training flows of the whole data set."""


def of(trials: list[Trial], preset: str, experiment: str, name: str) -> Trial:
    (found,) = [t for t in trials if (t.preset, t.experiment, t.name) == (preset, experiment, name)]
    return found


def test_both_labels_train_all_systems_and_change_one_thing_at_a_time() -> None:
    trials = plan(("paper", "kirl"), seeds=3, training_flows=FLOWS)

    parts = Counter((trial.preset, trial.experiment) for trial in trials)
    assert parts == {
        ("paper", "main"): 15,
        ("paper", "figure 3"): 9,
        ("kirl", "main"): 15,
        ("kirl", "figure 3"): 9,
        ("paper", "ablation"): 3 * len(MECHANISMS),
        ("kirl", "ablation"): 3 * len(ABLATIONS),
    }
    assert {trial.settings.seed for trial in trials} == {0, 1, 2}


def test_every_trial_has_a_folder_of_its_own() -> None:
    trials = plan(("paper", "kirl"), seeds=2, training_flows=FLOWS)

    folders = [trial.folder for trial in trials]
    assert len(set(folders)) == len(folders)
    assert all("/" not in folder and " " not in folder for folder in folders)


def test_paper_settings_are_the_papers() -> None:
    trials = plan(("paper",), seeds=1, training_flows=FLOWS)

    infused = of(trials, "paper", "main", "ppo-kg").settings
    assert infused.flows == 5 * FLOWS
    assert infused.network.encoder == "raw"
    assert (infused.kl.direction, infused.kl.reference) == ("policy_to_reference", "hard")
    assert (infused.kl.schedule, infused.kl.start, infused.kl.end) == ("linear", 1, 0)
    assert of(trials, "paper", "main", "ppo-kg-pt").settings.cloning.epochs == 10
    assert of(trials, "paper", "main", "dl").settings.flows == 100 * FLOWS
    low = of(trials, "paper", "figure 3", "lambda 0.1").settings
    assert (low.flows, low.kl.schedule, low.kl.start) == (500_000, "constant", 0.1)


def test_every_setting_of_the_paper_exists() -> None:
    known = config.known(algorithms.find("ppo-kg-pt"))

    assert {assignment.split("=")[0] for assignment in PAPER_SETTINGS} <= known
    assert (
        config.load(None, PAPER_SETTINGS, {"algo": "ppo-kg-pt"}).learning.flows_per_iteration
        == 4096
    )


def test_every_change_changes_something() -> None:
    trials = plan(("paper", "kirl"), seeds=1, training_flows=FLOWS)

    for preset, changes in CHANGES.items():
        base = of(trials, preset, "main", "ppo-kg").settings
        for name, _ in changes:
            changed = of(trials, preset, "ablation", name).settings
            assert changed != base
            assert changed.flows == base.flows


def test_advice_is_set_for_infused_systems_alone() -> None:
    trials = plan(("kirl",), seeds=1, training_flows=FLOWS, advisor=("advice.advisor=endpoint",))

    assert of(trials, "kirl", "main", "llm-kg").settings.advice.advisor == "endpoint"
    assert of(trials, "kirl", "main", "ppo").settings.advice == TrainingSettings().advice


def test_others_are_run_in_kirl_settings() -> None:
    # Any system will do: what is run beside the paper's is not the plan's to choose.
    trials = plan(("paper", "kirl"), seeds=1, training_flows=FLOWS, others=("dl",))

    assert [t.preset for t in trials if t.experiment == "others"] == ["kirl"]


def test_thompson_sampling_is_tried_with_both_posteriors() -> None:
    trials = plan(("kirl",), seeds=1, training_flows=FLOWS, others=OTHERS)

    found = {t.name: t.settings.learning.posterior for t in trials if t.settings.algo == "thompson"}
    assert found == {"thompson": "reward", "thompson on signatures": "class"}


def test_lengths_follow_the_scenario_within_limits() -> None:
    assert FULL.flows(FLOWS, "kirl") == FULL.flows(FLOWS, "paper") == 5 * FLOWS
    assert FULL.flows(1_000, "kirl") == FULL.least
    # The paper's five passes stay five.
    assert FULL.flows(1_000, "paper") == 5_000
    assert QUICK.flows(FLOWS, "paper") == QUICK.most
    assert Scale(most=100, least=5).flows(10, "kirl") == 50


def test_short_trainings_clone_no_more_than_their_first_half() -> None:
    trials = plan(("paper",), seeds=1, training_flows=1_800)

    assert of(trials, "paper", "main", "ppo-kg-pt").settings.cloning.flows == 4_500


def test_the_papers_systems_have_the_papers_figures() -> None:
    assert paper.TABLE_4.keys() < set(SYSTEMS)
    for rewards in paper.TABLE_4.values():
        assert set(rewards) == {*paper.CLASSES, "average"}
    assert sum(support for *_, support in paper.TABLE_5.values()) == 848_363
