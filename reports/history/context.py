"""What pages show besides the records of runs: promotions, recordings, profiles, alerts, error rates of the gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.records.bisection import Bisection
from harness.core.records.schedule import Alert
from reports.history.steps import NO_MARKS, Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The context of pages. Each part may be unknown; then its section says so or is left out.

    `audio` is the folder of the runs' recordings, `traces` that of their profiles; `curves` are the results of
    calibration: machine → scenario id → a sentence. `alerts` are those of the schedule, newest first, and `bisections`
    those of the store.
    """

    marks: Marks = NO_MARKS
    audio: Path | None = None
    traces: Path | None = None
    curves: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()
    bisections: tuple[Bisection, ...] = ()


NO_CONTEXT = Context()
