"""What was concluded. Decided once, by the gate; stored and displayed by everything else."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from harness.core.records.suspect import Suspect, SuspectKind
from harness.core.records.value import Reading


class VerdictKind(StrEnum):
    """The answer for one metric of one scenario."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    """Equivalence shown, not difference unproven."""
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"
    NO_BASELINE = "no baseline"
    MISSING = "missing"
    """In the baseline, but not measured in this run."""
    FAILED = "failed"
    """Not validly measured."""
    SAME_SUBJECT = "same subject"
    """Nothing under test changed since the acceptance, so no change can be in question. It fails nothing."""
    DIFFERENT = "different"
    """Speech that differs from its original's, but is not broken. It fails nothing."""


SPEECH_VERDICT = "speech"
"""The metric that verdicts on the quality of speech name. It has no values: the metrics of speech have."""


REPLAYED = "replay "
"""Begins the reference of a verdict that was decided by pairs with the accepted reference. The id of the replay's own
run follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A point with its interval at `level` (a probability) and its making. `n` values from `launches` launches."""

    point: float
    low: float
    high: float
    level: float
    method: str
    n: int
    launches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A metric over the valid repetitions of a scenario, in the metric's unit.

    A percentile that `n` cannot carry is None. `reason` says why there is nothing, where `n` is 0.
    """

    scenario_id: str
    metric: str
    definition: int
    n: int
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    interval: Estimate | None = None
    reason: str = ""


class Median(NamedTuple):
    """As much of a `Summary` as a list of figures shows, under the same names; a row of the store is one at once."""

    scenario_id: str
    metric: str
    n: int
    median: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """The user's decision that a regression of one metric fails nothing for a while.

    `scenarios` is a pattern of scenario ids. `until` is the last day (YYYY-MM-DD, UTC) on which the waiver holds;
    `expired` says whether that day had passed when the run began.
    """

    scenarios: str
    metric: str
    reason: str
    until: str
    expired: bool = False


class Leniency(StrEnum):
    """Why a regression fails nothing."""

    WAIVED = "waived"
    INFORMS = "informs"
    """The metric is shown, and the user's policy does not let it gate."""


Shown: TypeAlias = VerdictKind | Leniency
"""What a table or page shows of a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One decision of the gate.

    `change` is the estimated log-ratio against `reference` (a run, a baseline, the other arm of a duel), signed so that
    positive is worse; `tolerance` is a log-ratio too; `detectable` is the smallest log-ratio that this comparison could
    have found with 90 % power; `reason` and `advice` are sentences for a person. A verdict that does not `gate`
    informs: it decides no exit code. `waiver` is the user's waiver of a regression, expired or not.
    """

    scenario_id: str
    metric: str
    kind: VerdictKind
    reference: str = ""
    change: Estimate | None = None
    tolerance: float | None = None
    detectable: float | None = None
    reason: str = ""
    advice: str = ""
    suspects: tuple[str, ...] = ()
    suspect_kinds: tuple[SuspectKind, ...] = ()
    """The kind of each of `suspects`; empty if an earlier version stored the sentences alone."""
    revisions: tuple[str, ...] = ()
    """The revisions before and after that a suspect names, "" for the work tree; else empty."""
    gates: bool = True
    waiver: Waiver | None = None
    accepted: str = ""
    """The accepted run whose subject decided (`is_against_reference`); "" where remembered values did."""
    accepted_on: str = ""
    """The day of its acceptance (YYYY-MM-DD)."""
    changed: str = ""
    """What differs under test from the accepted subject, in words, if pairs with it decided."""

    @property
    def suspected(self) -> tuple[Suspect, ...]:
        """The suspects with their kinds, in their order."""
        kinds = self.suspect_kinds or (SuspectKind.UNKNOWN,) * len(self.suspects)
        return tuple(map(Suspect, kinds, self.suspects))

    def with_suspects(self, suspects: Iterable[Suspect]) -> "Verdict":
        """The verdict with these suspects in place of its own, and with the revisions that they name."""
        found = tuple(suspects)
        return replace(
            self,
            suspects=tuple(each.sentence for each in found),
            suspect_kinds=tuple(each.kind for each in found),
            revisions=next((each.revisions for each in found if each.revisions), self.revisions),
        )

    @property
    def leniency(self) -> Leniency | None:
        """Why this regression fails nothing; None if it fails the run, or is no regression."""
        if self.kind is not VerdictKind.REGRESSED:
            return None
        if not self.gates:
            return Leniency.INFORMS
        return Leniency.WAIVED if self.waiver and not self.waiver.expired else None

    @property
    def fails(self) -> bool:
        """Whether this is a regression that fails the run."""
        return self.kind is VerdictKind.REGRESSED and self.leniency is None

    @property
    def shown_as(self) -> Shown:
        """What a table or page shows: the kind, or why a regression fails nothing."""
        return self.leniency or self.kind


def is_against_reference(verdict: Verdict) -> bool:
    """Whether the accepted reference decided: what is under test is the same, or was measured in pairs with it."""
    return verdict.kind is VerdictKind.SAME_SUBJECT or verdict.reference.startswith(REPLAYED)


class TargetKind(StrEnum):
    """Whether a scenario serves its user."""

    MET = "met"
    MISSED = "missed"
    UNMET = "not met"
    """A built-in target of speed that is not met, in a command whose exit code it does not decide."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """A target is about the user, a baseline about change: both are gated, and never confused."""

    scenario_id: str
    metric: str
    limit: float
    kind: TargetKind
    observed: Reading
    reason: str = ""
