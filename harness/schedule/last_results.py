"""The newest result of each scenario on each machine, for the dashboard's metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.store.exports.openmetrics import Result, results_of
from harness.store.rows import RunRow
from harness.store.runs import RunStore

SEARCHED_RUNS: Final = 500
"""The number of newest runs among which the last results are looked for."""
READ_RUNS: Final = 50
"""The maximum number of runs that are read: the newest of each selection on each machine."""


@dataclass(slots=True)
class LastResults:
    """Reads the last results, and reads them again only after a new run."""

    store: RunStore
    _seen: tuple[tuple[str, float], ...] = ()
    _found: tuple[Result, ...] = ()

    def read(self) -> tuple[Result, ...]:
        """By machine and scenario."""
        rows = _newest(self.store.list(limit=SEARCHED_RUNS))
        seen = tuple((row.id, row.touched_at) for row in rows)
        if seen != self._seen:
            self._found = _merged([results_of(outline) for outline in self.store.outlines([row.id for row in rows])])
            self._seen = seen
        return self._found


def _newest(rows: Sequence[RunRow]) -> list[RunRow]:
    """The newest finished run of each selection on each machine, newest first. `rows` are newest first."""
    found: dict[tuple[str, str], RunRow] = {}
    for row in rows:
        if row.status.is_finished and not row.kind.compares_arms:
            found.setdefault((row.machine_key, row.selection), row)
    return list(found.values())[:READ_RUNS]


def _merged(runs: Sequence[Sequence[Result]]) -> tuple[Result, ...]:
    """The newest result of each scenario on each machine, sorted. `runs` are newest first."""
    found: dict[tuple[str, str], Result] = {}
    for results in runs:
        for each in results:
            found.setdefault((each.machine_key, each.scenario_id), each)
    return tuple(found[key] for key in sorted(found))
