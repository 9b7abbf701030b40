"""What is said of a run that its time limit ended."""

from pathlib import Path

import pytest

from harness.core.records.run import RunStatus
from harness.core.records.schedule import FireOutcome
from harness.schedule.launcher import Exit
from harness.schedule.outcome import Ending, outcome_of
from harness.store.rows import RunRow

REACHED = "its time limit was reached"


def row(status: RunStatus, *, blocks: int = 6, regressed: int = 0, missed: int = 0) -> RunRow:
    return RunRow(
        id="night", started_at=0.0, ended_at=60.0, status=status, machine_key="machine", selection="nightly", reason="",
        scenarios=1, blocks=blocks, repetitions=blocks, invalid=0, regressed=regressed, improved=0, missed=missed,
        touched_at=60.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "outcome", "reason"),
    [
        (None, FireOutcome.FAILED, f"{REACHED} before a block was measured"),
        (row(RunStatus.RUNNING, blocks=0), FireOutcome.FAILED, f"{REACHED} before a block was measured"),
        (row(RunStatus.PARTIAL), FireOutcome.PARTIAL, REACHED),
        (
            row(RunStatus.INTERRUPTED),
            FireOutcome.PARTIAL,
            f"{REACHED}, and it was killed before it had judged what it measured",
        ),
        # What was complete was overtaken while its report was made: its findings must not be hidden.
        (row(RunStatus.COMPLETE), FireOutcome.OK, ""),
        (row(RunStatus.COMPLETE, regressed=1), FireOutcome.WORSE, ""),
        (row(RunStatus.COMPLETE, missed=1), FireOutcome.WORSE, ""),
    ],
)
def test_the_limit_makes_partial_what_was_not_complete(
    found: RunRow | None, outcome: FireOutcome, reason: str, tmp_path: Path
) -> None:
    said = outcome_of(Exit(code=-15), Ending.LIMIT, row=found, log=tmp_path / "none.log")
    assert (said.outcome, said.reason) == (outcome, reason)
