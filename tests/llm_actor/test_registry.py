"""Advisors of installed packages, by the example that CONTRIBUTING.md points to."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from envs import Catalogue, InputError
from llm_actor import Prompts, registry
from llm_actor.selection import AdvisorSpec, build

PAPER = Catalogue.named("paper")

EXAMPLE = Path(__file__).parents[2] / "examples" / "advisor.py"


def installed(folder: Path, *entries: str) -> None:
    """A package's metadata, as installing it leaves it."""
    metadata = folder / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *entries]))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, with the example among them."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(EXAMPLE, package / "advisor.py")
    (package / "broken.py").write_text("raise RuntimeError('no licence')")
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def one_prompt() -> Prompts:
    """Of a type with two records that was half of the time another type."""
    rewards = np.full((8, 15), np.nan, np.float32)
    rewards[1, :2], rewards[2, :2] = (5, 4), (-5, 3)
    shares = np.zeros((1, 8), np.float32)
    shares[0, 1:3] = 0.5
    candidates = np.zeros((1, 15), np.bool_)
    candidates[0, :2] = True
    return Prompts(
        np.array([1], np.int8), np.array([0.5], np.float32), shares, rewards, candidates, PAPER
    )


def test_the_example_is_found_by_its_name_and_answers(packages: Path) -> None:
    installed(packages, "careful = my_package.advisor:Careful")

    told = build(AdvisorSpec("careful")).log_probabilities(one_prompt())
    doubtful = build(AdvisorSpec("careful", temperature=50.0)).log_probabilities(one_prompt())

    assert told.argmax() == 1
    assert np.exp(told).sum() == pytest.approx(1, abs=1e-5)
    assert doubtful[0, 0] > told[0, 0]
    assert len(EXAMPLE.read_text().splitlines()) < 60


def test_it_is_like_any_other_kind(packages: Path) -> None:
    installed(packages, "careful = my_package.advisor:Careful")

    found = registry.kind("careful")

    assert registry.names()[-1] == "careful"
    assert (found.uses, found.defaults) == (("temperature",), {"temperature": 0.25})
    assert found.about.startswith("Weighs actions by the worst")
    spec = AdvisorSpec("careful")
    assert (spec.name, spec.holds_model) == ("careful", False)
    assert spec.revision_key != AdvisorSpec("careful", temperature=1.0).revision_key
    with pytest.raises(InputError, match="careful has no use for model"):
        AdvisorSpec("careful", model="phi")
    with pytest.raises(InputError, match=r"no advisor 'carefull'.*endpoint, careful"):
        AdvisorSpec("carefull")


def test_a_package_is_imported_only_when_its_advisor_is_asked_for(packages: Path) -> None:
    installed(packages, "broken = my_package.broken:Advisor")

    assert "broken" in registry.names()
    build(AdvisorSpec())
    assert "my_package.broken" not in sys.modules
    with pytest.raises(InputError, match=r"advisor broken: my_package.broken:Advisor cannot be"):
        AdvisorSpec("broken")


def test_what_is_no_advisor_is_refused(packages: Path) -> None:
    installed(packages, "text = my_package.advisor:__doc__", "module = my_package.advisor")

    for name in ("text", "module"):
        with pytest.raises(InputError, match=f"advisor {name}: .* is not a class with a method"):
            AdvisorSpec(name)


def test_a_built_in_advisor_cannot_be_replaced(packages: Path) -> None:
    installed(packages, "embedded = my_package.advisor:Careful")

    assert registry.kind("embedded").holds_model
    assert registry.names().count("embedded") == 1
