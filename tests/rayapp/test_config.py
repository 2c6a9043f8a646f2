"""Settings: defaults, file, --set, options."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs import InputError
from llm_actor.batching import Limits
from llm_actor.placement import Need
from llm_actor.selection import AdvisorSpec
from rayapp import config
from rayapp.config import AdviceSettings, TrainingSettings


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("algo: ppo\nseed: 1\nppo:\n  epochs: 2\n  clip: 0.1\n")

    settings = config.load(file, ["ppo.epochs=3", "seed=2"], {"seed": 3, "algo": None})

    assert settings.algo == "ppo"
    assert settings.seed == 3
    assert settings.ppo.epochs == 3
    assert settings.ppo.clip == 0.1


def test_values_are_read_as_yaml() -> None:
    settings = config.load(
        None, ["network.hidden=[128, 32]", "ppo.minibatch_rows=null", "ppo.learning_rate=1e-2"], {}
    )

    assert settings.network.hidden == (128, 32)
    assert settings.ppo.minibatch_rows is None
    assert settings.ppo.learning_rate == 0.01


def test_five_passes_unless_told_otherwise() -> None:
    assert TrainingSettings().total_flows(1_000) == 5_000
    assert TrainingSettings(passes=0.5).total_flows(1_000) == 500
    assert TrainingSettings(flows=7).total_flows(1_000) == 7


def test_an_option_replaces_its_rival_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("flows: 10\n")

    assert config.load(file, [], {"passes": 2.0}).total_flows(100) == 200


def test_episodes_and_passes_at_once_are_refused() -> None:
    with pytest.raises(InputError, match="both flows and passes"):
        config.load(None, [], {"flows": 1, "passes": 1.0})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("ppo.epoch=4", r"ppo\.epoch: .*Expected one of flows_per_iteration, epochs"),
        ("colour=red", r"colour: .*Expected one of algo"),
        ("ppo.epochs=0", r"ppo\.epochs: .*greater than or equal to 1.*given: 0"),
        ("ppo.learning_rate=fast", r"ppo\.learning_rate: .*given: 'fast'"),
        ("kl.direction=sideways", r"kl\.direction: .*policy_to_reference"),
        ("kl.start=.inf", r"kl\.start: .*finite"),
        ("seed=-1", r"seed: "),
        ("seed", "is not key=value"),
        ("seed=2020-13-45", "not readable"),
        ("seed=true", "seed: "),
        ("network.hidden=[0]", r"network\.hidden\.0: "),
        ("algo.x=1", "algo is not a group|algo"),
        ("ppo.epochs=[", "not readable"),
        ("ppo.class_weight_limit=0.5", r"ppo\.class_weight_limit: .*greater than or equal to 1"),
    ],
)
def test_a_bad_setting_is_named(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config.load(None, ["algo=ppo", assignment], {})


@pytest.mark.parametrize("algo", ["dl", "linucb", "thompson"])
@pytest.mark.parametrize(
    "setting", ["online.delay=10", "online.drift={at: 5, becomes: DoS, traffic: Web}"]
)
def test_late_feedback_and_drift_are_refused_where_nothing_would_heed_them(
    algo: str, setting: str
) -> None:
    with pytest.raises(
        InputError, match=f"settings: late feedback and drift .* are not for {algo}"
    ) as told:
        config.load(None, [setting], {"algo": algo})
    assert "given" not in str(told.value)


def test_cloning_needs_feedback_by_then() -> None:
    late = ["online.delay=1000", "cloning.flows=1000"]

    with pytest.raises(InputError, match=r"online\.delay must be below cloning\.flows"):
        config.load(None, late, {"algo": "ppo-kg-pt"})
    config.load(None, late, {"algo": "ppo-kg"})


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"- 1\n", "holds a list"), (b"a: [", "not readable"), (b"\xff\xfe\x00", "not readable")],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)

    with pytest.raises(InputError, match=message) as caught:
        config.load(file, [], {})
    assert "settings.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        config.load(tmp_path / "none.yaml", [], {})


def test_yaml_tags_build_no_objects(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("algo: !!python/object/apply:os.getcwd []\n")

    with pytest.raises(InputError, match="not readable"):
        config.load(file, [], {})


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("")

    assert config.load(file, [], {}) == TrainingSettings()


def test_advice_has_the_defaults_of_the_advisors_themselves() -> None:
    settings = AdviceSettings()

    assert settings.spec() == AdvisorSpec()
    assert settings.need() == Need()
    # All of an endpoint's fields can be set, and what a model may hold at a time.
    chosen = {"timeout_seconds": 3.0, "retries": 0, "concurrency": 2}
    chosen |= {"circuit_failures": 1, "circuit_cooldown": 0.5, "token_budget": 512}
    advice = config.load(
        None, [f"advice.{name}={value}" for name, value in chosen.items()], {}
    ).advice
    assert advice.spec() == AdvisorSpec(**chosen)


def test_advice_says_where_its_actors_run() -> None:
    given = ["advice.resource=llm_node", "advice.accelerator=H100", "advice.replicas=2"]

    advice = config.load(None, [*given, "advice.gpus=0.5"], {}).advice

    assert advice.need() == Need(0.5, resource="llm_node", accelerator="H100", replicas=2)
    with pytest.raises(InputError, match=r"advice\.gpus"):
        config.load(None, ["advice.gpus=-1"], {})


def test_advice_says_how_its_actors_make_batches() -> None:
    given = {"max_prompts": 8, "max_batch_tokens": 4_000, "max_wait_seconds": 0.1, "cache_size": 0}

    advice = config.load(None, [f"advice.{name}={it}" for name, it in given.items()], {}).advice

    assert advice.limits() == Limits(**given)
    assert AdviceSettings().limits() == Limits()
