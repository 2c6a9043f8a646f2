"""A training run on disk.

===================== =========================================================
``run.json``          settings, scenario, state, figures
``scenario/``         the scenario, by hard links where they can be made
``progress.jsonl``    one line per iteration: flows, rewards, loss terms
``checkpoints/``      the latest checkpoint, graph snapshot included; for resuming
``policy/``           the trained policy, without pickle
``graph/``            the knowledge graph's store, unless the run shares another one
===================== =========================================================

A run is self-contained: it can be moved, evaluated and resumed without the folder it was
prepared in. RLlib writes checkpoints with pickle, so only resume runs that you trust;
evaluating one never reads its checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envs import InputError, Scenario
from envs.files import check_writable, replacing, write_json
from envs.flows import KIND
from kg_actor import KnowledgeGraph, store
from kg_actor.shards import in_shards
from llm_actor.circuit import CircuitState
from rayapp.config import TrainingSettings, flat, for_scenario
from rayapp.runs.locks import locked
from rayapp.runs.mirrors import shown

if TYPE_CHECKING:
    # It takes torch, which --help and the graph do without.
    from rayapp.rl.saved_policy import Policy

FORMAT = 3

RunState = Literal["training", "complete"]


class RunManifest(BaseModel):
    """What ``run.json`` holds.

    Attributes:
        format: version of this file's format.
        name: the run's name; its graph's actor is called ``graph:<name>``.
        settings: the run's settings, with ``flows`` resolved.
        fingerprint: fingerprint of the scenario.
        kind: of the data set that the flows are of.
        state: ``training`` until the last flow is learnt from.
        flows: flows trained on, up to the last checkpoint, which is named after them.
        seconds: time spent training, start-up excluded.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    name: str
    settings: TrainingSettings
    fingerprint: str
    kind: str = Field(pattern=KIND)
    state: RunState = "training"
    flows: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Flows to train on."""
        return self.settings.total_flows(0)


@dataclass(frozen=True)
class TrainingResult:
    """The line that ``kirl train --json`` ends with.

    Attributes:
        flows_trained: flows trained on, over all sessions of the run.
        seconds: time that took, learning, graph and advice included, start-up excluded.
        flows_per_second: their ratio.
        run: the run's folder, or the URI that it is mirrored to.
    """

    flows_trained: int
    seconds: float
    flows_per_second: float
    run: str

    @classmethod
    def of(cls, manifest: RunManifest, folder: Path) -> TrainingResult:
        """The result of a run, from its manifest."""
        rate = manifest.flows / manifest.seconds if manifest.seconds else 0.0
        seconds = round(manifest.seconds, 3)
        return cls(manifest.flows, seconds, round(rate, 1), shown(folder))

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


@dataclass(frozen=True)
class ProgressLine:
    """One iteration in ``progress.jsonl``."""

    iteration: int
    flows: int
    seconds: float
    average_reward: float
    class_reward: dict[str, float]
    graph_version: int
    prompts_asked: int
    learner: dict[str, float] = field(default_factory=dict)
    advice_age: int = 0
    fallbacks: int = 0
    circuit: CircuitState | None = None


class RunFolder:
    """Paths and files of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_file = path / "run.json"
        self.scenario_folder = path / "scenario"
        self.progress_file = path / "progress.jsonl"
        self.checkpoints = path / "checkpoints"
        self.policy_folder = path / "policy"

    @property
    def graph_folder(self) -> Path:
        """Folder of the graph: the run's own, or the one it shares."""
        return self.manifest().settings.graph.shared or self.path / "graph"

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.manifest_file.is_file()

    def is_vacant(self) -> bool:
        """Whether it is an empty folder, or holds only what an interrupted beginning left."""
        if not self.path.is_dir():
            return False
        left = {"scenario", "lock", "mirror.json"}
        names = [entry.name for entry in self.path.iterdir()]
        return all(name in left or name.endswith(".tmp") for name in names)

    def manifest(self) -> RunManifest:
        """The run's manifest.

        Raises:
            InputError: there is none, it is unreadable, or another version of kirl wrote it.
        """
        if not self.exists():
            raise InputError(
                "not a training run (it has no run.json)",
                where=str(self.path),
                expected="a folder written by kirl train",
                mend="Check --run",
            )
        content = self.manifest_file.read_bytes()
        self._check_format(content)
        try:
            return RunManifest.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"not readable ({'.'.join(map(str, first['loc']))}: {first['msg']})",
                where=str(self.manifest_file),
                mend="Train the run again",
            ) from error

    def _check_format(self, content: bytes) -> None:
        """Refuses what other versions of kirl wrote, whose settings have other names."""
        try:
            data = json.loads(content)
        except ValueError:
            # The model says what is wrong with it.
            return
        number = data.get("format") if isinstance(data, dict) else None
        if number != FORMAT and _shards_in(data) > 1:
            raise in_shards(str(self.manifest_file))
        if number != FORMAT:
            raise InputError(
                f"run format {number}",
                where=str(self.manifest_file),
                expected=f"format {FORMAT}, which this version of kirl writes",
                mend="Train the run again, or use the version of kirl that wrote it",
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training this run; a dead process holds no lock.

        Raises:
            InputError: another process is training it.
        """
        with locked(self.path, shown(self.path)):
            yield

    def write(self, manifest: RunManifest) -> None:
        """Replaces the manifest."""
        write_json(self.manifest_file, manifest.model_dump(mode="json"))

    def has_results(self) -> bool:
        """Whether a finished run's policy is there, and its graph if it keeps one."""
        manifest = self.manifest()
        return self.policy_folder.is_dir() and (
            not manifest.settings.algorithm.keeps_graph or store.exists(self.graph_folder)
        )

    def checkpoint(self, flows: int) -> Path:
        """Folder of the checkpoint taken after so many flows."""
        return self.checkpoints / str(flows)

    def forget_checkpoints(self, except_for: int) -> None:
        """Removes all checkpoints but one."""
        for folder in self.checkpoints.iterdir():
            if folder.name != str(except_for):
                shutil.rmtree(folder, ignore_errors=True)

    def scenario(self) -> Scenario:
        """The run's own copy of its scenario, checked against the manifest."""
        scenario = Scenario.load(self.scenario_folder)
        expected = self.manifest().fingerprint
        if scenario.fingerprint != expected:
            raise InputError(
                f"holds scenario {scenario.fingerprint[:12]}",
                where=str(self.scenario_folder),
                expected=f"scenario {expected[:12]}, which the run was trained on",
                mend="Train the run again",
            )
        return scenario

    def policy(self) -> Policy:
        """The trained policy; raises :class:`InputError` while training has not finished."""
        from rayapp.rl.saved_policy import load_policy

        return load_policy(self.policy_folder, self.manifest().fingerprint)

    def graph(self) -> KnowledgeGraph:
        """The knowledge graph as it is now; a training that goes on is not disturbed."""
        graph, spec = store.read(self.graph_folder)
        expected = self.manifest().fingerprint
        if spec.fingerprint != expected:
            raise InputError(
                f"belongs to scenario {spec.fingerprint[:12]}",
                where=str(self.graph_folder),
                expected=f"a graph of scenario {expected[:12]}",
                mend="Train the run again",
            )
        return graph

    def progress(self) -> list[ProgressLine]:
        """All iterations logged so far."""
        return [ProgressLine(**json.loads(line)) for line in self._progress_lines()]

    def append_progress(self, line: ProgressLine) -> None:
        """Logs an iteration."""
        with self.progress_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")

    def rewind_progress(self, flows: int) -> None:
        """Drops iterations later than a checkpoint, and a line that was cut by a crash."""
        kept = [line for line in self._progress_lines() if json.loads(line)["flows"] <= flows]
        with replacing(self.progress_file) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _progress_lines(self) -> Iterator[str]:
        if not self.progress_file.is_file():
            return
        for line in self.progress_file.read_text(encoding="utf-8").splitlines():
            try:
                complete: Any = json.loads(line)
            except ValueError:
                return
            if isinstance(complete, dict):
                yield line


def _shards_in(data: Any) -> int:  # noqa: ANN401 (from a file)
    """How many shards the graph of a run has; earlier versions of kirl could cut it."""
    try:
        return int(data["settings"]["graph"]["shards"])
    except (KeyError, TypeError, ValueError):
        return 1


def shared_name(folder: Path) -> str:
    """The name of a shared graph's actor: the same for all runs that give the same folder."""
    path = folder.resolve()
    return f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def begin(folder: RunFolder, settings: TrainingSettings, scenario: Scenario) -> RunManifest:
    """Begins a run, or finds one to be resumed.

    Args:
        folder: where; one that holds an unfinished run of the same settings and scenario
            is to be resumed, a finished one is left as it is.
        settings: of the run.
        scenario: to train on; the run gets its own copy.

    Raises:
        InputError: the folder holds something else, or a run of other settings or scenario.
    """
    check_writable(folder.path)
    settings = for_scenario(settings, has_opinion=scenario.has_opinion)
    total = settings.total_flows(len(scenario.train[0]))
    graph = settings.graph.model_copy(
        update={
            "shared": settings.graph.shared and settings.graph.shared.absolute(),
            "lessons": tuple(path.absolute() for path in settings.graph.lessons),
        }
    )
    resolved = settings.model_copy(update={"flows": total, "passes": None, "graph": graph})
    if folder.exists():
        manifest = folder.manifest()
        _check_same(folder, manifest, resolved, scenario)
        return manifest
    if folder.path.exists() and not folder.is_vacant():
        raise InputError(
            "exists and is not a training run",
            where=str(folder.path),
            expected="a new folder, an empty one or an interrupted run",
            mend="Choose another --out",
        )
    # Settings that cannot be used are refused before anything is written.
    settings.advice.spec()
    settings.graph.read_lessons(scenario.catalogue)
    manifest = RunManifest(
        # Unique, so that runs of one name never share a graph on one cluster.
        name=f"{folder.path.resolve().name}-{uuid.uuid4().hex[:8]}",
        settings=resolved,
        fingerprint=scenario.fingerprint,
        kind=scenario.kind,
    )
    # The manifest comes last: without it the folder is not a run yet and is begun again.
    scenario.copy_to(folder.scenario_folder)
    folder.write(manifest)
    return manifest


def _check_same(
    folder: RunFolder, manifest: RunManifest, settings: TrainingSettings, scenario: Scenario
) -> None:
    if manifest.fingerprint != scenario.fingerprint:
        raise InputError(
            f"holds a run on scenario {manifest.fingerprint[:12]}",
            where=str(folder.path),
            expected=f"a run on scenario {scenario.fingerprint[:12]}",
            mend="Choose another --out, or resume with the run's own scenario",
        )
    # These change speed, safety and where curves go, never the result.
    free = {"runners", "checkpoint_seconds", "tracking"}
    before = flat(manifest.settings.model_dump(exclude=free))
    after = flat(settings.model_dump(exclude=free))
    changed = [key for key in before if key not in after or before[key] != after[key]]
    if changed:
        listed = ", ".join(
            f"{key}: {before[key]} there, {after.get(key, 'none')} now" for key in changed[:3]
        )
        raise InputError(
            f"holds a run with other settings ({listed})",
            where=str(folder.path),
            mend="Choose another --out, or resume with the run's own settings",
        )
