from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import Catalogue, InputError
from llm_actor import GraphReader, Prompts
from llm_actor.selection import AdvisorSpec, build
from llm_actor.text import DEFAULT_TEMPLATE

sys.path.insert(0, str(Path(__file__).parent))
import tiny

SERVER = {"kind": "endpoint", "model": "org/phi", "url": "http://127.0.0.1:1/v1"}
PAPER = Catalogue.named("paper")

ENDPOINT = AdvisorSpec("endpoint", model="org/phi", url="http://127.0.0.1:1/v1", retries=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model as save_pretrained leaves it."""
    place = tmp_path_factory.mktemp("tiny-phi")
    tiny.model().save_pretrained(place)
    tiny.tokenizer().save_pretrained(place)
    return place


def one_prompt() -> Prompts:
    rewards = np.linspace(-5, 5, 120, dtype=np.float32).reshape(8, 15)
    shares = np.eye(8, dtype=np.float32)[[1]]
    return Prompts(
        np.array([1], np.int8),
        np.array([0.9], np.float32),
        shares,
        rewards,
        np.ones((1, 15), np.bool_),
        PAPER,
    )


def test_the_graph_reader_is_built_with_its_temperature() -> None:
    found = build(AdvisorSpec(temperature=2.0)).log_probabilities(one_prompt())

    assert np.array_equal(found, GraphReader(2.0).log_probabilities(one_prompt()))


def test_a_model_is_built_with_template_and_mode(folder: Path, tmp_path: Path) -> None:
    template = tmp_path / "own.toml"
    template.write_text(DEFAULT_TEMPLATE.read_text().replace("{attack}", "Detected: {attack}"))
    spec = AdvisorSpec("transformers", model=str(folder), mode="generate", template=template)

    advisor: Any = build(spec)

    assert np.exp(advisor.log_probabilities(one_prompt())).max() > 0.99
    assert "Detected: " in advisor.texts(one_prompt())[0]
    assert advisor.name == spec.name


def test_an_endpoint_is_built_and_says_so_when_nobody_listens() -> None:
    advisor = build(ENDPOINT)

    assert advisor.name == ENDPOINT.name == "phi"
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        advisor.log_probabilities(one_prompt())


def test_a_template_that_cannot_be_used_is_told_before_the_model_is_looked_for(
    tmp_path: Path,
) -> None:
    absent = tmp_path / "absent.toml"

    for spec in (AdvisorSpec("transformers", model="no/such"), AdvisorSpec("embedded"), ENDPOINT):
        with pytest.raises(InputError, match=r"template .*absent\.toml"):
            build(replace(spec, template=absent))
        with pytest.raises(InputError, match=r"template .*absent\.toml"):
            _ = replace(spec, template=absent).revision_key


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "oracle"}, "no advisor 'oracle'. Expected one of graph-reader, embedded"),
        ({"temperature": 0.0}, "temperature is 0.0. Expected a number above 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"kind": "embedded", "token_budget": 0}, "token_budget is 0. Expected at least 1"),
        (SERVER | {"retries": -1}, "retries is -1"),
        (SERVER | {"concurrency": 0}, "concurrency is 0"),
        (SERVER | {"timeout_seconds": 0.0}, "timeout_seconds is 0.0. Expected a number above 0"),
        (SERVER | {"timeout_seconds": float("inf")}, "timeout_seconds is inf"),
        ({"kind": "endpoint", "model": "phi"}, "endpoint needs url"),
        ({"kind": "endpoint", "model": "", "url": "http://x"}, "endpoint needs model"),
        ({"model": "phi"}, "graph-reader has no use for model"),
        # Also where it is what the advisors that take it have by default.
        ({"kind": "embedded", "retries": 3}, "embedded has no use for retries"),
        ({"kind": "embedded", "model": "phi"}, "embedded has no use for model"),
        (SERVER | {"device": "cpu", "dtype": "float32"}, "no use for device and dtype"),
    ],
)
def test_options_that_fit_nothing_are_one_message(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AdvisorSpec(**fields)


def test_equal_specs_have_equal_keys_and_whatever_changes_answers_changes_them(
    folder: Path,
) -> None:
    model = AdvisorSpec("transformers", model=str(folder))
    others = [
        AdvisorSpec(),
        AdvisorSpec(temperature=1.0),
        AdvisorSpec("embedded"),
        model,
        replace(model, revision="v2"),
        replace(model, dtype="float32"),
        replace(model, mode="generate"),
        ENDPOINT,
        replace(ENDPOINT, model="org/psi"),
        replace(ENDPOINT, url="http://127.0.0.1:2/v1"),
        replace(ENDPOINT, temperature=1.0),
    ]

    assert len({spec.revision_key for spec in others}) == len(others)
    assert replace(model).revision_key == model.revision_key
    assert AdvisorSpec(temperature=0.25).revision_key == AdvisorSpec().revision_key
    same = replace(model, token_budget=100, device="cpu")
    assert same.revision_key == model.revision_key


def test_a_templates_text_counts_and_not_its_place(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(DEFAULT_TEMPLATE.read_text())
    spec = replace(ENDPOINT, template=own)
    before = spec.revision_key

    own.write_text(DEFAULT_TEMPLATE.read_text().replace("{attack}", "Detected: {attack}"))

    assert before == ENDPOINT.revision_key
    assert spec.revision_key != before


def test_a_model_that_was_trained_anew_in_its_place_has_another_key(folder: Path) -> None:
    spec = AdvisorSpec("transformers", model=str(folder))
    before = spec.revision_key

    os.utime(folder / "model.safetensors", ns=(1, 1))

    assert spec.revision_key != before


def test_names() -> None:
    assert AdvisorSpec().name == "graph-reader"
    assert AdvisorSpec("embedded").name == "embedded"
    assert AdvisorSpec("transformers").name == "Phi-3.5-mini-instruct"


def test_choosing_an_advisor_without_a_model_loads_neither_torch_nor_openai() -> None:
    program = (
        "import sys; from llm_actor.selection import AdvisorSpec, build; "
        "build(AdvisorSpec()); AdvisorSpec('embedded').revision_key; "
        "print(sorted({'torch', 'openai', 'transformers'} & set(sys.modules)))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"
