"""Settings: defaults, file, --set, options."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs import InputError
from llm_actor.batching import Limits
from llm_actor.placement import Need
from llm_actor.selection import AdvisorSpec
from rayapp import algorithms, config
from rayapp.config import AdviceSettings, TrainingSettings


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("algo: ppo\nseed: 1\nlearning:\n  epochs: 2\n  clip: 0.1\n")

    settings = config.load(file, ["learning.epochs=3", "seed=2"], {"seed": 3, "algo": None})

    assert settings.algo == "ppo"
    assert settings.seed == 3
    assert settings.learning.epochs == 3
    assert settings.learning.clip == 0.1


def test_values_are_read_as_yaml() -> None:
    settings = config.load(
        None,
        ["network.hidden=[128, 32]", "learning.minibatch_rows=null", "learning.learning_rate=1e-2"],
        {},
    )

    assert settings.network.hidden == (128, 32)
    assert settings.learning.minibatch_rows is None
    assert settings.learning.learning_rate == 0.01


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
        ("learning.epoch=4", r"ppo has no setting learning\.epoch\. Expected one of flows_per_it"),
        ("colour=red", r"ppo has no setting colour\. Expected one of algo"),
        ("ppo.epochs=4", r"ppo has no setting ppo\. Expected one of .*learning"),
        (
            "learning.epochs=0",
            r"learning\.epochs is 0\. Expected a value greater than or eq",
        ),
        ("learning.epochs=1000000", r"learning\.epochs is 1000000\. Expected .* equal to 10000"),
        (
            "learning.learning_rate=fast",
            r"learning\.learning_rate is 'fast'\. Expected a valid n",
        ),
        ("learning.class_weight_limit=0.5", r"learning\.class_weight_limit is 0\.5"),
        ("learning=3", r"learning is 3\. Expected a valid dictionary"),
        (
            "kl.direction=sideways",
            r"kl\.direction is 'sideways'\. Expected 'policy_to_ref",
        ),
        ("kl.start=.inf", r"kl\.start is inf\. Expected"),
        ("kl.schedule=exponential", r"kl: an exponential schedule needs start and end above 0"),
        ("advice.gpus=-1", r"advice\.gpus is -1\. Expected 'auto' or a value|'auto' or greater"),
        ("online.drift.by=3", r"ppo has no setting online\.drift\.by\. Expected one of at, bec"),
        ("online.drift.at=3", r"online\.drift: a drift needs the class that flows become"),
        ("seed=-1", r"seed is -1\. Expected"),
        ("seed", "is not key=value"),
        ("seed=2020-13-45", "not readable"),
        ("seed=true", "seed is True. Expected a valid integer"),
        ("network.hidden=[0]", r"network\.hidden\.0 is 0\. Expected"),
        ("algo.x=1", "algo is not a group"),
        ("learning.epochs=[", "not readable"),
    ],
)
def test_a_bad_setting_is_named_with_its_value_and_what_was_expected(
    assignment: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        config.load(None, ["algo=ppo", assignment], {})


def test_the_group_learning_is_that_of_the_chosen_algorithm() -> None:
    for algo, setting in (("dqn", "temperature=2.0"), ("linucb", "alpha=2.0")):
        settings = config.load(None, [f"learning.{setting}"], {"algo": algo})
        name, _, value = setting.partition("=")
        assert getattr(settings.learning, name) == float(value)
        with pytest.raises(InputError, match=rf"ppo has no setting learning\.{name}"):
            config.load(None, [f"learning.{setting}"], {"algo": "ppo"})

    # What earlier versions took silently, whatever the algorithm.
    assert config.load(None, (), {"algo": "dqn-kg"}).learning.class_balance == 0.4
    assert config.load(None, (), {"algo": "ppo-kg"}).learning.class_balance == 0.7


def test_settings_survive_being_written_down() -> None:
    for algo in algorithms.names():
        settings = TrainingSettings(algo=algo, flows=7)

        again = TrainingSettings.model_validate_json(settings.model_dump_json())

        assert again == settings
        assert type(again.learning) is algorithms.find(algo).learning


@pytest.mark.parametrize(
    ("algo", "assignment"),
    [
        ("ppo", "kl.start=0.5"),
        ("ppo", "advice.advisor=embedded"),
        ("dqn-kg", "cloning.epochs=3"),
        ("dl", "graph.half_life=1000"),
        ("dl", "online.delay=10"),
        ("linucb", "online.drift={at: 5, becomes: DoS, traffic: Web}"),
        ("thompson", "network.hidden=[8]"),
    ],
)
def test_a_group_that_the_algorithm_has_no_use_for_is_refused(algo: str, assignment: str) -> None:
    name = assignment.partition("=")[0]
    with pytest.raises(InputError, match=rf"{name}[a-z.]* is .*, and {algo} has no use for it"):
        config.load(None, [assignment], {"algo": algo})

    # A default changes nothing, so it may be said.
    for group in config.CHOSEN_GROUPS:
        usual = getattr(TrainingSettings(), group).model_dump(mode="json")
        assert config.parse({"algo": algo, group: usual}, "").algo == algo


def test_cloning_needs_feedback_by_then() -> None:
    late = ["online.delay=1000", "cloning.flows=1000"]

    with pytest.raises(InputError, match=r"online\.delay must be below cloning\.flows"):
        config.load(None, late, {"algo": "ppo-kg-pt"})
    config.load(None, [late[0], "cloning.flows=1001"], {"algo": "ppo-kg-pt"})


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


def test_advice_says_how_its_actors_make_batches() -> None:
    given = {"max_prompts": 8, "max_batch_tokens": 4_000, "max_wait_seconds": 0.1, "cache_size": 0}

    advice = config.load(None, [f"advice.{name}={it}" for name, it in given.items()], {}).advice

    assert advice.limits() == Limits(**given)
    assert AdviceSettings().limits() == Limits()
