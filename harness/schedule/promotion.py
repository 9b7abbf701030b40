"""Promotion of runs to baselines by a job's policy, and the list of promoted runs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.analysis.promotion import Acceptance, FindSource, promotion_of
from harness.core.records.run import RunData, RunStatus
from harness.core.records.schedule import Alert, AlertKind
from harness.core.records.verdict import VerdictKind
from harness.store.baselines import accept, list_machines

REASON = "promoted by the schedule: nothing regressed, failed or was missing"
KEEPS_BACK = (VerdictKind.REGRESSED, VerdictKind.FAILED, VerdictKind.MISSING)


def refusal(data: RunData, alerts: Sequence[Alert], *, policy: str) -> str:
    """Why a run is not promoted by its job's policy, or "" if it is."""
    if policy != "clean":
        return "the job does not promote runs"
    if data.run.status is not RunStatus.COMPLETE:
        return f"the run is {data.run.status.value}"
    if worse := [verdict for verdict in data.verdicts if verdict.kind in KEEPS_BACK and verdict.gates]:
        return f"{len(worse)} metrics are {worse[0].kind.value} or worse"
    open_ = [each for each in alerts if each.closed_at is None and each.kind is AlertKind.REGRESSION]
    if open_:
        return f"a regression is open since run {open_[-1].run_id}"
    return ""


def promote_run(data: RunData, baselines: Path, find_source: FindSource, *, project: Path) -> int:
    """Make a run's values the baseline, and what its workers loaded the reference. Return the number of changed files.

    An arm whose subject is the same keeps the acceptance that it has.
    """
    date = datetime.fromtimestamp(data.run.started_at, tz=UTC).date().isoformat()
    acceptance = Acceptance(date=date, reason=REASON, project=str(project), find_source=find_source)
    promotion = promotion_of(data, acceptance)
    changes = accept(baselines, promotion.entries, promotion.arms)
    return len({change.file for change in changes.figures}) + bool(changes.reference)


def promoted_runs(baselines: Path) -> frozenset[str]:
    """The ids of all runs that are in a baseline, of all machines."""
    return frozenset(run.id for machine in list_machines(baselines) for run in machine.runs)
