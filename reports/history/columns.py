"""The figures of runs as columns, one for each scenario and metric: the medians of all runs, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.stats.grouped import BoolArray, FloatArray, IntArray
    from reports.history.index import PastRun, RunIndex

_UNKNOWN = b"\xff"
"""Eight of it are a NaN: a run from before a key was known is shorter."""


class Columns:
    """The figures of some of a book's runs, turned from runs to keys all at once."""

    def __init__(self, run_index: RunIndex, runs: Sequence[PastRun]) -> None:
        self._keys, self._runs = run_index.keys, runs
        packed = b"".join(run.medians.ljust(8 * len(run_index.keys), _UNKNOWN) for run in runs)
        by_run = np.frombuffer(packed).reshape(len(runs), len(run_index.keys))
        self.medians: FloatArray = np.ascontiguousarray(by_run.T)
        """Shape (keys, runs), in the order of the book's keys; NaN where a run has none."""

    def having(self) -> dict[str, IntArray]:
        """Scenario → the places of the runs that have a figure or a verdict of it."""
        letters = "".join(run.kinds.ljust(len(self._keys)) for run in self._runs).encode()
        judged = np.frombuffer(letters, dtype="S1").reshape(len(self._runs), len(self._keys)).T != b" "
        known: BoolArray = judged | ~np.isnan(self.medians)
        rows: dict[str, list[int]] = {}
        for row, (scenario_id, _) in enumerate(self._keys):
            rows.setdefault(scenario_id, []).append(row)
        return {scenario_id: np.flatnonzero(known[own].any(0)) for scenario_id, own in rows.items()}
