"""A scheduled job and the settings of the schedule, as records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.core.codec import decode, encode

CONFIRM_S: Final = 900.0
"""Default budget (s) of the duel that confirms what a run has found."""
EXPLAIN_S: Final = 900.0
"""Budget (s) of a bisection. One that was interrupted goes on where it ended."""
SLACK_S: Final = 900.0
"""Time (s) beyond the budget, besides half of it, in which a run may build models, start workers and be analysed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job: what it measures, and when: `cron` (five fields) or every `every_s` seconds, in a time zone.

    `options` are configuration keys with their values as text. `budget_s` 0 means the selection's budget. After
    `limit_s` the run is ended and stored as partial. `promote` is "never" or "clean": promote a run in which nothing
    regressed, and never while a regression is open. `confirm_s` is the budget of the duel that confirms what a run has
    found before it is reported; 0 for no duel. With `explain` "bisect" a confirmed regression is bisected in the
    schedule's spare time.
    """

    name: str
    cron: str = ""
    every_s: float = 0.0
    timezone: str = "UTC"
    selection: str = "nightly"
    expression: str = ""
    options: tuple[tuple[str, str], ...] = ()
    budget_s: float = 0.0
    limit_s: float = 0.0
    promote: str = "never"
    confirm_s: float = CONFIRM_S
    explain: str = "never"

    @property
    def when(self) -> str:
        """Its times as text."""
        return f"{self.cron} {self.timezone}" if self.cron else f"every {duration(self.every_s)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of all jobs. Durations are in seconds. `keep_…` are the limits of retention."""

    runner: str = ""
    alerts: tuple[str, ...] = ()
    link: str = ""
    busy_cpus: float = 0.5
    busy_wait_s: float = 1_800.0
    keep_raw_s: float = 90 * 86_400.0
    keep_raw_runs: int = 100
    keep_logs_s: float = 180 * 86_400.0


def limit_of(job: Job, budgets_s: Mapping[str, float]) -> float:
    """The time limit (s) of a run of `job`."""
    return job.limit_s or 1.5 * (job.budget_s or budgets_s[job.selection]) + SLACK_S


def confirmation_limit_of(job: Job) -> float:
    """The time limit (s) of the duel that confirms what a run of `job` has found."""
    return 1.5 * job.confirm_s + SLACK_S


def to_plain(job: Job) -> dict[str, Any]:
    """A job in a form that every version can read."""
    plain: dict[str, Any] = encode(job)
    return plain


def from_plain(plain: Mapping[str, Any]) -> Job:
    """The job of `to_plain`, without fields that a newer version has added."""
    return decode(Job, dict(plain), ignore_unknown=True)


def duration(seconds: float) -> str:
    """Seconds as text with a unit: 90s, 5m, 1.5h, 2d."""
    for unit, scale in (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0)):
        if seconds >= scale and (seconds / scale * 10).is_integer():
            return f"{seconds / scale:g}{unit}"
    return f"{seconds:g}s"
