"""The knowledge graph as a component of an RLlib checkpoint: a folder of Parquet tables."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from pyarrow import fs
from ray.rllib.utils.checkpoints import Checkpointable

from kg_actor import GraphState, snapshot
from kg_actor.client import GraphClient

COMPONENT_GRAPH = "graph"
_STATE = "state"


class GraphCheckpoint(Checkpointable):
    """Saves a run's graph together with its weights, and restores both together.

    Args:
        run: name of the run; its later merges are dropped when it goes back to a checkpoint.
        graph: returns the live graph.
    """

    def __init__(self, run: str, graph: Callable[[], GraphClient]) -> None:
        self._run, self._graph = run, graph

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """Everything that the graph holds."""
        return {_STATE: self._graph().state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores the graph; see :meth:`kg_actor.store.GraphStore.restore`."""
        self._graph().restore(state[_STATE], self._run)

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the constructor was given."""
        return (self._run, self._graph), {}

    def save_to_path(
        self,
        path: str | Path | None = None,
        *,
        state: dict[str, Any] | None = None,
        filesystem: fs.FileSystem | None = None,
        use_msgpack: bool = False,
    ) -> str:
        """Writes the snapshot's tables, and no pickle, to ``path``."""
        content: GraphState = (state or self.get_state())[_STATE]
        spec = self._graph().spec
        if path is None:
            path = tempfile.mkdtemp(prefix="kirl-graph-")
        if _is_local(filesystem):
            snapshot.save(content, spec, Path(path))
            return str(path)
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / COMPONENT_GRAPH
            snapshot.save(content, spec, local)
            fs.copy_files(str(local), str(path), destination_filesystem=filesystem)
        return str(path)

    def restore_from_path(
        self,
        path: str | Path,
        *,
        component: str | None = None,
        filesystem: fs.FileSystem | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Reads what :meth:`save_to_path` wrote and restores the graph.

        Raises:
            InputError: it is missing, damaged or another scenario's.
        """
        if _is_local(filesystem):
            self._go_back(Path(path))
            return
        with tempfile.TemporaryDirectory() as folder:
            fs.copy_files(str(path), folder, source_filesystem=filesystem)
            self._go_back(Path(folder))

    def _go_back(self, folder: Path) -> None:
        state, spec = snapshot.load(folder)
        self._graph().spec.check_same(spec, str(folder))
        self.set_state({_STATE: state})


def _is_local(filesystem: fs.FileSystem | None) -> bool:
    return filesystem is None or isinstance(filesystem, fs.LocalFileSystem)
