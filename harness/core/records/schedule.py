"""Records of the schedule: due times with their outcomes, alerts, and running schedulers."""

from dataclasses import dataclass
from enum import StrEnum


class FireState(StrEnum):
    """The state of a due time."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


class FireOutcome(StrEnum):
    """The outcome of a due time."""

    OK = "ok"
    WORSE = "worse"
    """Measured, and something regressed or missed its target."""
    UNDECIDED = "undecided"
    """Measured, without the answer that the policy requires."""
    PARTIAL = "partial"
    """Ended at its time limit; the measurements so far are kept."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    """The machine was busy for too long."""

    @property
    def measured(self) -> bool:
        """Whether there are measurements; a streak counts these outcomes."""
        return self in (FireOutcome.OK, FireOutcome.WORSE, FireOutcome.UNDECIDED, FireOutcome.PARTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """One due time of a job. Times are seconds since the epoch; `missed` counts earlier due times that it covers."""

    key: int
    runner: str
    job: str
    due_at: float
    asked: bool
    """Requested by a person, not by the clock."""
    missed: int
    state: FireState
    queued_at: float
    started_at: float | None
    ended_at: float | None
    outcome: FireOutcome | None
    exit_code: int | None
    reason: str
    run_id: str
    """"" if nothing was stored."""
    machine_key: str
    pid: int
    boot: str
    log: str

    @property
    def duration_s(self) -> float | None:
        """The duration in seconds; None unless it has begun and ended."""
        return None if self.ended_at is None or self.started_at is None else self.ended_at - self.started_at


class AlertKind(StrEnum):
    """The kind of an alert."""

    REGRESSION = "regression"
    TARGET = "missed target"
    FAILURE = "failed run"


class AlertEnding(StrEnum):
    """Why an alert is closed."""

    RECOVERED = "recovered"
    ACCEPTED = "accepted"
    """A run with the worse level was promoted to the baseline."""
    WAIVED = "waived"
    """The user waives the regression until a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert, sent once. It stays open until the problem has recovered, is accepted, or is waived.

    `subject` is the scenario, or the job of a failed run. `size` with its interval is the reported log-ratio; None if
    the alert is not about a change of a metric.
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
    """The run after which it was closed."""
    trouble: str
    """Why a channel could not be notified; "" if all were."""
    ending: AlertEnding | None = None
    """None while it is open, and for alerts that an earlier version closed, which had recovered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerInstance:
    """A running scheduler: its runner, process and host, its start, and the time of its last sign of life."""

    runner: str
    pid: int
    host: str
    boot: str
    since: float
    seen_at: float
    doing: str
