"""What a finished run leaves: the marks of the trends."""

import math
import random
from pathlib import Path
from typing import Any, cast

from harness.outputs import marks_of
from harness.records.run import RunStatus
from harness.records.verdict import Summary
from harness.store.rows import SeriesName, SeriesPoint

RUNS = 40
SERIES = 60


class Trends:
    """Sixty trends, of which the last stepped by 20 % at run 25."""

    def series_names(self) -> tuple[SeriesName, ...]:
        return tuple(SeriesName(machine_key="m", scenario_id=f"s{each}", metric="latency") for each in range(SERIES))

    def series(self, metric: str, scenario_id: str, *_: str, limit: int) -> tuple[SeriesPoint, ...]:
        rng = random.Random(scenario_id)  # noqa: S311 - made noise
        assert limit >= RUNS
        stepped = scenario_id == f"s{SERIES - 1}"
        return tuple(
            SeriesPoint(
                run_id=f"r{run}",
                started_at=float(run),
                status=RunStatus.COMPLETE,
                summary=Summary(
                    scenario_id=scenario_id,
                    metric=metric,
                    definition=1,
                    n=24,
                    median=math.exp(rng.gauss(0, 0.02) + (math.log(1.2) if stepped and run >= 25 else 0.0)),
                ),
            )
            for run in range(RUNS)
        )


def test_a_step_is_marked_although_many_trends_are_searched(tmp_path: Path) -> None:
    marks = marks_of(cast("Any", Trends()), tmp_path)
    found = [step for step in marks.steps if step.scenario_id == f"s{SERIES - 1}"]
    assert [step.run_id for step in found] == ["r25"]
    assert math.isclose(found[0].size, math.log(1.2), abs_tol=0.03)
    assert len(marks.steps) <= 3
