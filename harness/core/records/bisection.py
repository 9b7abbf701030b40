"""One bisection as it is kept: the places between good and bad, what was measured at them, and the answer."""

from dataclasses import dataclass
from enum import StrEnum

from harness.core.records.verdict import Estimate

BISECTION_FORMAT = 1
"""Version of the record's form. History: 1, the first."""


class BisectionAnswer(StrEnum):
    """What a bisection found."""

    STEP = "one step"
    """One change, between two neighbouring places."""
    RANGE = "a range"
    """One change, and the places around it cannot be measured."""
    SPREAD = "several steps"
    """The change is spread over several steps."""
    CAME_BACK = "came back"
    """There is a change that a later place takes back, at least in part."""
    UNDECIDED = "undecided"
    """The budget ended before the answer was certain enough."""
    NO_DIFFERENCE = "no difference"
    """No difference between good and bad is shown, so there is nothing to look for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A version, a commit or a set of packages. `spec` is its arm, as an argument of `duel` names it.

    `detail` is for people, such as the subject line of a commit. `skipped` says why it cannot be measured; "" if it
    can, as far as is known.
    """

    label: str
    spec: str
    detail: str = ""
    skipped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A log-ratio with its standard error and the degrees of freedom of Student's t; an error of 0 is allowed."""

    point: float
    error: float
    freedom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One measurement of a place between good and bad, all three in the same blocks.

    `ratio` is its log-ratio to good, `centred` that to the geometric mean of good and bad, and `whole` that of bad to
    good in the same blocks. `pairs` counts the blocks that all three have.
    """

    place: int
    run_id: str
    ratio: Known
    centred: Known
    whole: Known
    pairs: int
    launches: int
    seconds: float
    """The time from the start of the run to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStep:
    """A change between the places `before` and `after`, by their numbers; more than one apart if others are skipped.

    `change` is its log-ratio with a 95 % interval, and `share` how much of the whole difference it explains.
    `probability` is that of a change between these two.
    """

    before: int
    after: int
    change: Estimate
    share: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """A bisection from `places[0]`, which is good, to the last place, which is bad.

    `whole` is the log-ratio of bad to good with a 95 % interval, from all runs; None before it is known. `steps` are
    the changes found, or without an answer the most probable ones. `changes` is the probability of a change between
    each place and the next one. `confidence` is the probability of the answer, and `error_rate` the greatest one of a
    wrong answer. `reason` says why there is no answer, and `advice` what would give one.
    """

    id: str
    subject: str
    metric: str
    machine: str
    started_at: float
    updated_at: float
    error_rate: float
    places: tuple[Place, ...]
    first_run: str = ""
    """The duel of bad against good."""
    whole: Estimate | None = None
    probes: tuple[Probe, ...] = ()
    changes: tuple[float, ...] = ()
    steps: tuple[FoundStep, ...] = ()
    answer: BisectionAnswer = BisectionAnswer.UNDECIDED
    confidence: float = 0.0
    reason: str = ""
    advice: str = ""
    notes: tuple[str, ...] = ()
    improved: bool = False
    """Whether bad is the better one: an improvement is looked for, or the two were given the wrong way round."""
    format: int = BISECTION_FORMAT
