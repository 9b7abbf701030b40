"""The matrix of a run: which cell says what."""

import math
from dataclasses import replace

from benchmarks.synthetic_history import made_run
from benchmarks.synthetic_run import Made
from harness.core.records.verdict import Estimate, Verdict, VerdictKind
from reports.text.naming import names_of
from reports.views.matrix import matrices

MADE = Made(models=("kokoro-fp32", "kokoro-int8"), classes=("short",), launches=2, blocks=2)


def test_what_an_arm_was_held_against_says_so_where_it_has_no_verdict() -> None:
    data = made_run(MADE, 1)
    reference, candidate = (
        next(each for each in data.run.scenarios if each.arm.model and each.arm.model.name == name)
        for name in MADE.models
    )
    verdict = Verdict(
        scenario_id=candidate.id,
        metric="latency",
        kind=VerdictKind.REGRESSED,
        reference=reference.arm.id,
        change=Estimate(
            point=math.log(1.1), low=math.log(1.05), high=math.log(1.15), level=0.99, method="t", n=4, launches=2
        ),
    )
    judged, *known = matrices(replace(data, verdicts=(verdict,)), names_of(data))
    cells = {row.label.id: row.cells for row in judged.rows}
    assert "<span>reference</span>" in cells[reference.id]
    assert "+10.0" in cells[candidate.id]
    assert all("reference" not in row.cells for table in known for row in table.rows)
