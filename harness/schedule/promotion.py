"""Promotion of runs to baselines by a job's policy, and the list of promoted runs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.analysis.promotion import Acceptance, FindSource, promotion_of, why_not_clean
from harness.core.records.reference import AcceptedBy
from harness.core.records.run import RunData
from harness.core.records.schedule import Alert, AlertKind
from harness.store.baselines import accept, list_machines
from harness.store.schedule_log import ScheduleLog

REASON = "promoted by the schedule: nothing regressed, failed or was missing"


def refusal(data: RunData, alerts: Sequence[Alert]) -> str:
    """Why a job that promotes clean runs does not promote a run, or "" if it does."""
    open_ = [each for each in alerts if each.closed_at is None and each.kind is AlertKind.REGRESSION]
    return why_not_clean(data) or (f"a regression is open since run {open_[-1].run_id}" if open_ else "")


def note_refusal(journal: ScheduleLog, run_id: str, why: str) -> None:
    """Say with the due time that made a run why it is not promoted; once, however often it is asked for."""
    fire, note = journal.fire_of_run(run_id), f"not promoted: {why}"
    if fire and fire.outcome and fire.outcome.measured and note not in fire.reason:
        journal.change(fire.key, reason="; ".join(filter(None, (fire.reason, note))))


def promote_run(data: RunData, baselines: Path, find_source: FindSource, *, project: Path) -> int:
    """Make a run's values the baseline, and what its workers loaded the reference. Return the number of changed files.

    An arm whose subject is the same keeps the acceptance that it has.
    """
    date = datetime.fromtimestamp(data.run.started_at, tz=UTC).date().isoformat()
    acceptance = Acceptance(
        date=date, reason=REASON, by=AcceptedBy.SCHEDULE, project=str(project), find_source=find_source
    )
    promotion = promotion_of(data, acceptance)
    changes = accept(baselines, promotion.entries, promotion.arms)
    return len({change.file for change in changes.figures}) + bool(changes.reference)


def promoted_runs(baselines: Path) -> frozenset[str]:
    """The ids of all runs that are in a baseline, of all machines."""
    return frozenset(run.id for machine in list_machines(baselines) for run in machine.runs)
