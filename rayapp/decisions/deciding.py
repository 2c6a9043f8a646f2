"""The whole way from files to decisions in a file or a pipe: read, decide, write.

One batch is written while the next one is read and decided.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from envs.datasets.source import Tally
from envs.flows import Progress
from envs.reading import further_flows
from rayapp.decisions import alerts, writing
from rayapp.decisions.decider import Decider
from rayapp.decisions.outcomes import Outcomes
from rayapp.decisions.rows import FlowRows, Rows
from rayapp.decisions.writing import Format
from rayapp.runs.folder import RunFolder


@dataclass(frozen=True)
class Done:
    """What was decided.

    Attributes:
        tally: of all rows.
        decided: rows.
        mitigations: rows by mitigation, the most frequent first.
        undecided: rows by the reason why nothing is decided, likewise.
        seconds: from the first row read to the last one written.
    """

    tally: Tally
    decided: int
    mitigations: dict[str, int]
    undecided: dict[str, int]
    seconds: float


class Job:
    """Flows or alerts that a run is to decide.

    Args:
        decider: of the run.
        rows: the flows or alerts.
        outcomes: what is told of them.
        remarks: what the owner should know beforehand, one sentence each.
    """

    def __init__(
        self, decider: Decider, rows: Rows, outcomes: Outcomes, remarks: Sequence[str] = ()
    ) -> None:
        self._decider, self._rows, self._outcomes = decider, rows, outcomes
        self.remarks = (*remarks, *rows.remarks)
        self.unit = rows.unit

    @classmethod
    def of(
        cls,
        folder: RunFolder,
        data: Sequence[Path],
        *,
        explain: bool = False,
        top: int | None = None,
    ) -> Job:
        """Opens a run and files.

        Args:
            folder: of a finished run.
            data: files and folders.
            explain: whether to tell why.
            top: number of mitigations that are ranked; ``None`` for all.

        Raises:
            InputError: the run cannot be used, or the files cannot be read for it.
        """
        settings = folder.manifest().settings
        scenario = folder.scenario()
        rows: Rows
        if scenario.of_alerts:
            rows = alerts.opened(data, scenario)
        else:
            rows = FlowRows(further_flows(scenario, data, labelled=False, keys=True))
        decider = Decider.of(folder, scenario)
        remarks = []
        if scenario.synthetic:
            remarks.append(
                "The run was trained on synthetic flows: its decisions are for trying things out."
            )
        if decider.knowledge.graph is None and settings.algorithm.keeps_graph:
            remarks.append(
                "The run's knowledge graph is not there: expected rewards follow from the counters "
                "that its policy was saved with."
            )
        return cls(decider, rows, Outcomes(decider.knowledge, explain=explain, top=top), remarks)

    def write(self, file: IO[bytes] | Path, kind: Format, progress: Progress | None = None) -> Done:
        """Decides all flows and writes the decisions.

        Args:
            file: an open stream for JSON or CSV, or a path, where the file appears once it is
                whole.
            kind: of the output.
            progress: called with (size read, size in all) after every batch.

        Raises:
            InputError: a file cannot be read or written, or no row of all can be decided.
        """
        tally, decided, begun = Tally(), 0, time.perf_counter()
        with (
            writing.opened(file, kind, self._outcomes) as writer,
            ThreadPoolExecutor(1, "writing") as pool,
        ):
            written: Future[None] | None = None
            for account, rows in self._rows.decided(self._decider, progress):
                tally.add(account)
                decided += int((rows.context >= 0).sum())
                if written is not None:
                    written.result()
                written = pool.submit(writer.write, rows)
            if written is not None:
                written.result()
            self._rows.check(tally)
        return Done(
            tally,
            decided,
            self._outcomes.totals(_mitigation),
            self._outcomes.totals(lambda outcome: outcome.get("undecided")),
            time.perf_counter() - begun,
        )


def _mitigation(outcome: dict[str, object]) -> str | None:
    decision = outcome["decision"]
    return str(decision["mitigation"]) if isinstance(decision, dict) else None
