"""What the schedule keeps: when a job was due and what came of it, what was said to people, and who keeps the watch."""

from dataclasses import dataclass
from enum import StrEnum


class FireState(StrEnum):
    """How far a due time has come."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


class FireOutcome(StrEnum):
    """What came of it."""

    OK = "ok"
    WORSE = "worse"
    """Measured, and something regressed or missed its target."""
    UNDECIDED = "undecided"
    """Measured, without the answer that the policy asks for."""
    PARTIAL = "partial"
    """Ended at its time limit; what was measured is kept."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    """The machine was busy for too long."""

    @property
    def measured(self) -> bool:
        """Whether there are figures: what a streak counts."""
        return self in (FireOutcome.OK, FireOutcome.WORSE, FireOutcome.UNDECIDED, FireOutcome.PARTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """One due time of a job. Times are in seconds since the epoch; `missed` counts the due times it stands for too."""

    key: int
    runner: str
    job: str
    due_at: float
    asked: bool
    """By a person, not by the clock."""
    missed: int
    state: FireState
    queued_at: float
    started_at: float | None
    ended_at: float | None
    outcome: FireOutcome | None
    exit_code: int | None
    reason: str
    run_id: str
    """"" where nothing was stored."""
    machine_key: str
    pid: int
    boot: str
    log: str

    @property
    def duration_s(self) -> float | None:
        """How long it took, where it has ended and had begun."""
        return None if self.ended_at is None or self.started_at is None else self.ended_at - self.started_at


class AlertKind(StrEnum):
    """What an alert is about."""

    REGRESSION = "regression"
    TARGET = "missed target"
    FAILURE = "failed run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that people were told, once; open until it has recovered.

    `subject` is the scenario, or the job of a failed run. `size` with its interval is the log-ratio that was told, None
    where it is no change of a figure.
    """

    key: int
    machine_key: str
    kind: AlertKind
    subject: str
    metric: str
    run_id: str
    opened_at: float
    sentence: str
    size: float | None
    low: float | None
    high: float | None
    closed_at: float | None
    closed_by: str
    """The run that showed it recovered."""
    trouble: str
    """Why a channel could not be told, "" where all were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerInstance:
    """A scheduler at work: who, where, since when, and when it was last heard of."""

    runner: str
    pid: int
    host: str
    boot: str
    since: float
    seen_at: float
    doing: str
