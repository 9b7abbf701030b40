"""The state of the schedule, as `status`, the live page and the metrics show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from harness.core.records.schedule import Alert, Fire, FireOutcome, FireState, SchedulerInstance
from harness.measure.conductor.event_file import RunProgress, read_events
from harness.schedule.launcher import events_of
from harness.schedule.triggers import Booked
from harness.store.rows import RunRow
from harness.store.runs import RunStore
from harness.store.schedule_log import ScheduleLog

RECENT: Final = 10
MOST_ENDED: Final = 5
"""The maximum number of alerts that have ended in the overview."""
ENDED_LATELY_S: Final = 7 * 86_400.0
STREAK: Final = 200
"""The number of latest due times in which a streak is counted."""
ALIVE_S: Final = 90.0
"""A scheduler that has not reported for longer (s) is not running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One job. `streak` counts how often it was measured in a row; negative: how often not."""

    name: str
    when: str
    selection: str
    promote: str
    paused: bool
    next_at: float | None
    last: Fire | None
    succeeded: int
    failed: int
    streak: int
    typical_s: float | None
    """Median duration of the last runs that were measured."""
    last_failure: str
    """The reason of the newest failure, while the streak is one of failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A due time that has ended, with the verdicts of its run, where it has one."""

    fire: Fire
    regressed: int | None
    improved: int | None
    missed_targets: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state at one moment. `watched` is the progress of `running`."""

    now: float
    runner: str
    keeper: SchedulerInstance | None  # codespell:ignore keeper
    running: Fire | None
    watched: RunProgress | None
    queue: tuple[Fire, ...]
    jobs: tuple[JobLine, ...]
    open_alerts: tuple[Alert, ...]
    ended_alerts: tuple[Alert, ...]
    """The newest alerts that ended in the last week, newest first."""
    recent: tuple[Past, ...]
    counts: tuple[tuple[str, str, int], ...]
    """(job, outcome, how often)."""

    @property
    def scheduler(self) -> SchedulerInstance | None:
        """The scheduler of this runner that was last seen; None if there was none."""
        return self.keeper  # codespell:ignore keeper


def overview(store: RunStore, journal: ScheduleLog, booked: Sequence[Booked], *, runner: str, now: float) -> Overview:
    """Read it from the store and the running process's events."""
    open_fires = journal.open_fires(runner)
    running = next((fire for fire in open_fires if fire.state is FireState.RUNNING), None)
    counts = journal.counts(runner)
    recent = [fire for fire in journal.fires(runner=runner, limit=RECENT) if fire.state is FireState.ENDED]
    rows = {fire.run_id: store.row(fire.run_id) for fire in recent if fire.run_id}
    alerts = journal.alerts()
    return Overview(
        now=now,
        runner=runner,
        keeper=journal.scheduler(runner),  # codespell:ignore keeper
        running=running,
        watched=read_events(events_of(Path(running.log))) if running and running.log else None,
        queue=tuple(fire for fire in open_fires if fire.state is FireState.QUEUED),
        jobs=tuple(job_line(each, journal.fires(runner=runner, job=each.job.name, limit=STREAK), counts)
                   for each in booked),
        open_alerts=tuple(alert for alert in alerts if alert.closed_at is None),
        ended_alerts=_lately_ended(alerts, now),
        recent=tuple(_past(fire, rows.get(fire.run_id)) for fire in recent),
        counts=tuple((job, outcome.value, count) for (job, outcome), count in sorted(counts.items())),
    )  # fmt: skip


def _lately_ended(alerts: Sequence[Alert], now: float) -> tuple[Alert, ...]:
    ended = [alert for alert in alerts if alert.closed_at is not None and now - alert.closed_at < ENDED_LATELY_S]
    return tuple(sorted(ended, key=lambda alert: -(alert.closed_at or 0.0))[:MOST_ENDED])


def job_line(booked: Booked, fires: Sequence[Fire], counts: Mapping[tuple[str, FireOutcome], int]) -> JobLine:
    """`fires` are the job's, newest first."""
    job = booked.job
    ended = [fire for fire in fires if fire.outcome is not None]
    durations = [fire.duration_s for fire in ended[:20] if fire.outcome and fire.outcome.measured]
    known = [seconds for seconds in durations if seconds is not None]
    own = {outcome: count for (name, outcome), count in counts.items() if name == job.name}
    streak = streak_of(ended)
    return JobLine(
        name=job.name,
        when=job.when,
        selection=job.selection,
        promote=job.promote,
        paused=booked.paused,
        next_at=booked.next_at,
        last=ended[0] if ended else None,
        succeeded=sum(count for outcome, count in own.items() if outcome.measured),
        failed=sum(count for outcome, count in own.items() if not outcome.measured),
        streak=streak,
        typical_s=median(known) if known else None,
        last_failure=ended[0].reason if streak < 0 else "",
    )


def streak_of(ended: Sequence[Fire]) -> int:
    """How many of the newest were measured in a row; negative: how many were not."""
    if not ended or ended[0].outcome is None:
        return 0
    measured = ended[0].outcome.measured
    length = 0
    for fire in ended:
        if fire.outcome is None or fire.outcome.measured is not measured:
            break
        length += 1
    return length if measured else -length


def at_work(found: Overview) -> bool:
    """Whether a scheduler reported to the store within `ALIVE_S`."""
    return found.scheduler is not None and abs(found.now - found.scheduler.seen_at) < ALIVE_S


def _past(fire: Fire, row: RunRow | None) -> Past:
    return Past(
        fire=fire,
        regressed=row.regressed if row else None,
        improved=row.improved if row else None,
        missed_targets=row.missed if row else None,
    )
