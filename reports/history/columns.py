"""The medians of runs as arrays, one for each scenario and metric, oldest run first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.stats.grouped import BoolArray, FloatArray, IntArray
    from reports.history.index import PastRun, RunIndex

_UNKNOWN = b"\xff"
"""Eight of these bytes are a NaN, which fills up runs from before a key was added."""


class Columns:
    """The values of some runs of an index by key, transposed in one step."""

    def __init__(self, run_index: RunIndex, runs: Sequence[PastRun]) -> None:
        self._keys, self._runs = run_index.keys, runs
        packed = b"".join(run.medians.ljust(8 * len(run_index.keys), _UNKNOWN) for run in runs)
        by_run = np.frombuffer(packed).reshape(len(runs), len(run_index.keys))
        self.medians: FloatArray = np.ascontiguousarray(by_run.T)
        """Shape (keys, runs), in the order of the keys of the index; NaN for an unknown median."""

    def having(self) -> dict[str, IntArray]:
        """Scenario id → the indices of the runs that have a value or a verdict of it."""
        letters = "".join(run.kinds.ljust(len(self._keys)) for run in self._runs).encode()
        has_verdict = np.frombuffer(letters, dtype="S1").reshape(len(self._runs), len(self._keys)).T != b" "
        known: BoolArray = has_verdict | ~np.isnan(self.medians)
        rows: dict[str, list[int]] = {}
        for row, (scenario_id, _) in enumerate(self._keys):
            rows.setdefault(scenario_id, []).append(row)
        return {scenario_id: np.flatnonzero(known[own].any(0)) for scenario_id, own in rows.items()}
