"""Records of the schedule: due times with their outcomes, alerts with their messages, and running schedulers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.core.records.bisection import BisectionAnswer


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
    IMPOSSIBLE = "not possible"
    """A confirmation of which a duel could not be made, such as one of a server whose reference nobody can restore."""

    @property
    def measured(self) -> bool:
        """Whether there are measurements; a streak counts these outcomes."""
        return self in (FireOutcome.OK, FireOutcome.WORSE, FireOutcome.UNDECIDED, FireOutcome.PARTIAL)


class FireCause(StrEnum):
    """Why a due time ended as it did, where its outcome alone does not tell."""

    SCHEDULER_ENDED = "scheduler ended"
    """The scheduler was ended, and its run with it: this is no failure of the run."""


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
    confirms: str = ""
    """The run whose findings it measures again; "" for a due time of the job itself."""

    explains: int | None = None
    """The alert whose change it bisects in the schedule's spare time; None for everything else."""

    cause: FireCause | None = None

    @property
    def declared_job(self) -> str:
        """The name of the job as it is declared. Its confirmations and bisections are listed with a suffix."""
        return self.job.partition("/")[0]

    @property
    def ended_with_scheduler(self) -> bool:
        """Whether the end of the scheduler ended its run, which is no failure of the run."""
        return self.cause is FireCause.SCHEDULER_ENDED

    @property
    def duration_s(self) -> float | None:
        """The duration in seconds; None unless it has begun and ended."""
        return None if self.ended_at is None or self.started_at is None else self.ended_at - self.started_at


class AlertKind(StrEnum):
    """A change of a metric, a missed target, or a job whose run was not completed."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    TARGET = "missed target"
    FAILURE = "failed run"


class AlertEnding(StrEnum):
    """Why an alert is closed."""

    RECOVERED = "recovered"
    """The problem is gone, or the gain is."""
    ACCEPTED = "accepted"
    """A run with the new level was promoted to the baseline."""
    NOT_CONFIRMED = "not confirmed"
    """A duel did not show the change, so it was not reported."""
    WAIVED = "waived"
    """The user waives the regression until a day."""


class Confirmation(StrEnum):
    """What the duel that follows a finding has shown."""

    WAITING = "waiting"
    """The duel has not been made yet, and the alert has not been sent."""
    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not confirmed"
    UNDECIDED = "undecided"
    IMPOSSIBLE = "not possible"
    """The duel could not be made, or has no value of the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert, sent once. It stays open until the problem has recovered, is accepted, or is waived.

    `subject` is the scenario, or the job of a failed run. `run_id` is the run since which it is so. `size` with its
    interval is the reported log-ratio, positive is worse; None if the alert is not about a change of a metric.
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
    found_in: str = ""
    """The run after which it was found; "" for alerts of an earlier version."""
    compared_with: str = ""
    """The run whose subject a duel compares with; "" for the accepted reference."""
    confirmation: Confirmation | None = None
    """None if the alert was sent without a duel."""
    confirmed_by: str = ""
    """The run of the duel."""
    confirmation_reason: str = ""
    """What the duel has shown, or why there is none, as a sentence without a full stop."""
    bisection: str = ""
    """The bisection of its change; "" without one."""
    confirmed_size: float | None = None
    """The log-ratio that the duel measured, with its interval; None unless it confirmed the change."""
    confirmed_low: float | None = None
    confirmed_high: float | None = None
    answer: BisectionAnswer | None = None
    """What the bisection came to; None without one, and for what an earlier version stored as decided."""
    explanation: str = ""
    """What the bisection has found, or why there is none, as a sentence without a full stop; "" if none was asked."""


class Delivery(StrEnum):
    """How far a message is on its way to one alert target."""

    DUE = "due"
    BEGUN = "begun"
    """Being sent. If the scheduler was killed meanwhile, the message may have arrived."""
    SENT = "sent"
    FAILED = "failed"
    """Not delivered, as far as the target reported; it is tried again."""
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message to alert targets, stored with what it is about. `content` is JSON; `targets` are by their keys.

    `done_at` is None while a target is left.
    """

    key: int
    runner: str
    queued_at: float
    done_at: float | None
    content: str
    targets: Mapping[str, Delivery]


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
