from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from envs.catalogue import Catalogue
from envs.datasets import registry
from envs.datasets.kind import DataSet
from envs.datasets.labels import Labelling
from envs.datasets.source import FlowSource, Reading
from envs.errors import InputError
from envs.flows import FeatureSchema, Flows, Progress, Provenance

PAPER = Catalogue.named("paper")
READING = Reading.labelled(PAPER)


class Held(FlowSource):
    """Flows that can only be read all at once."""

    def __init__(self, paths: Sequence[Path], reading: Reading) -> None:
        self.catalogue, self.schema = PAPER, FeatureSchema.unnamed(2)

    def read(self, progress: Progress | None = None) -> Flows:
        rows = np.zeros((4, 2), np.float32)
        return Flows(rows, np.zeros(4, np.int8), Provenance("held", {}, 4), self.catalogue)


HELD = DataSet("held", "one line", "nobody", FeatureSchema.unnamed(2), open=Held)
OTHER = DataSet("cicids2017", "one line", "nobody", FeatureSchema.unnamed(2))
NO_NAME = DataSet("No Name", "one line", "nobody", FeatureSchema.unnamed(2))


def install(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    """Entry points as importlib finds them."""
    points = [EntryPoint("it", f"{__name__}:{value}", registry.GROUP) for value in values]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry.all_kinds.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    registry.all_kinds.cache_clear()


def test_every_shipped_kind_says_what_it_is() -> None:
    kinds = registry.all_kinds()

    sizes = {
        "cicids2017": (78, 15, "ICISSP 2018"),
        "cicids2017-corrected": (83, 27, "CNS 2022"),
        "cse-cic-ids2018": (78, 15, "ICISSP 2018"),
        "cicddos2019": (80, 18, "ICCST 2019"),
        "cicflowmeter": (78, 0, "ICISSP 2016"),
        "cicflowmeter-python": (78, 0, "github.com"),
        "synthetic": (78, 15, "ICISSP 2018"),
    }
    assert [name for name in kinds if name in sizes] == list(sizes)
    for name, (features, labels, cited) in sizes.items():
        kind = kinds[name]
        assert (len(kind.schema), len(kind.labels)) == (features, labels)
        assert all(column.unit for column in kind.schema.columns)
        assert cited in kind.citation
        assert kind.synthetic == (name == "synthetic") == (kind.open is None)
        labelling = Labelling(Catalogue.named(kind.catalogue))
        assert all(labelling.resolve(label)[0] >= 0 for label in kind.labels)


def test_a_kind_that_is_read_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "HELD")

    source = registry.opened([], READING, "held")

    assert source.read().schema.names == ("feature 0", "feature 1")
    assert not source.parts


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("OTHER", "a data set called cicids2017 already"),
        ("NO_NAME", "does not lead to a data set"),
        ("PAPER", "does not lead to a data set"),
        ("GONE", r"cannot be loaded \(AttributeError"),
    ],
)
def test_a_package_with_a_faulty_kind_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    install(monkeypatch, value)

    with pytest.raises(InputError, match=f"entry point it = .*:{value} .*{said}"):
        registry.all_kinds()


def test_kinds_are_asked_for_what_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "HELD")

    with pytest.raises(InputError, match=r"no kind of data set called 'nothing'.*held"):
        registry.opened([], READING, "nothing")
    with pytest.raises(InputError, match="synthetic flows are not read from files"):
        registry.opened([], READING, "synthetic")
    with pytest.raises(InputError, match="cicids2017 flows are recorded, not drawn"):
        registry.drawn(100, 0, PAPER, "cicids2017")


def test_files_that_several_kinds_fit_need_a_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = [
        DataSet(name, "", "", FeatureSchema.unnamed(1), open=Held, fits=lambda one: True)
        for name in "ab"
    ]
    monkeypatch.setattr(registry, "all_kinds", lambda: {one.name: one for one in both})
    (tmp_path / "flows.csv").write_text("x,y\n1,2\n")

    with pytest.raises(InputError, match=r"can be read as a or b.*--dataset"):
        registry.recognised([tmp_path])
