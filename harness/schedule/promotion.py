"""Promotion of runs to baselines by a job's policy, and the list of promoted runs."""

from collections.abc import Sequence
from pathlib import Path

from harness.analysis.promotion import baseline_entries
from harness.core.records.run import RunData, RunStatus
from harness.core.records.schedule import Alert, AlertKind
from harness.core.records.verdict import VerdictKind
from harness.store.baselines import list_machines, promote

KEEPS_BACK = (VerdictKind.REGRESSED, VerdictKind.FAILED, VerdictKind.MISSING)


def refusal(data: RunData, alerts: Sequence[Alert], *, policy: str) -> str:
    """Why a run is not promoted by its job's policy, or "" if it is."""
    if policy != "clean":
        return "the job does not promote runs"
    if data.run.status is not RunStatus.COMPLETE:
        return f"the run is {data.run.status.value}"
    if worse := [verdict for verdict in data.verdicts if verdict.kind in KEEPS_BACK]:
        return f"{len(worse)} metrics are {worse[0].kind.value} or worse"
    open_ = [each for each in alerts if each.closed_at is None and each.kind is AlertKind.REGRESSION]
    if open_:
        return f"a regression is open since run {open_[-1].run_id}"
    return ""


def promote_run(data: RunData, baselines: Path) -> int:
    """Make a run's values the baseline. Return the number of changed files."""
    return len({change.file for change in promote(baselines, baseline_entries(data))})


def promoted_runs(baselines: Path) -> frozenset[str]:
    """The ids of all runs that are in a baseline, of all machines."""
    return frozenset(run.id for machine in list_machines(baselines) for run in machine.runs)
