"""What a metric is, and the one rule by which its figures are written."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"
    ONE = "one"
    """The nearer to 1, the better."""
    NEITHER = "neither"
    """Neither way is better: it describes, and does not rate."""


class Per(StrEnum):
    """What gives one value."""

    REPETITION = "repetition"
    CHUNK = "chunk"
    """Each pair of neighbouring chunks: a repetition gives several values."""
    LAUNCH = "launch"
    WINDOW = "window"
    """A stretch of time with several requests in it: a block of a concurrent scenario, or a load test's window."""
    SCENARIO = "scenario"
    BEAT = "beat"
    """Every request of a client of many, and every beat of its timer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How figures are written on one axis or in one column: value × `factor`, then `unit` ("" where there is none)."""

    factor: float
    unit: str


_STEPS = {
    "s": (
        (1.0, Scale(factor=1.0, unit="s")),
        (1e-3, Scale(factor=1e3, unit="ms")),
        (0.0, Scale(factor=1e6, unit="µs")),
    ),
    "B": (
        (1e9, Scale(factor=1e-9, unit="GB")),
        (1e6, Scale(factor=1e-6, unit="MB")),
        (1e3, Scale(factor=1e-3, unit="kB")),
        (0.0, Scale(factor=1.0, unit="B")),
    ),
}
"""Unit → (from this magnitude on, scale), largest first. Bytes are decimal, as file sizes are published."""


LAUNCH_SD = 0.04
"""How much launches are presumed to differ: two shared cores showed 3.5 % at default threads and 0.8 % at one thread,
and more while others used the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpread:
    """How much the median of a metric is presumed to differ between runs of an unchanged subject on one machine.

    `sd` is a standard deviation of logarithms; `freedom` are the degrees of freedom with which it counts beside what
    the machine's accepted runs show, few if its `source` is thin. 0 and infinity: the metric repeats exactly.
    """

    sd: float
    freedom: float
    source: str


RUN_SPREAD = RunSpread(
    sd=0.05,
    freedom=4.0,
    source="one host of two shared cores: runs of different hours differed by 2 to 11 %, and by more while others used "
    "the host; dedicated machines differ less",
)
"""The spread of times between runs. It counts little, because its source is one host."""

EXACT = RunSpread(sd=0.0, freedom=math.inf, source="computed from the same bytes, so that it repeats exactly")

MOST_PLACES = 9
"""What is less than they show is the arithmetic's own error, and 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. Tables, gate, axes and glossary read it; a figure is comparable only within one `definition`.

    `tolerance` is the change that is put up with, as a ratio (0.05 is 5 %); None: shown, but not gated. `decimals` are
    the places of a figure whose unit has no steps. `share` marks parts of a whole, which are written in per cent and
    lie between 0 and 1. `least` and `most` are the values beyond which the metric cannot be, in its unit. `launch_sd`
    is the presumed standard deviation by which launches of one arm differ, as a log-ratio (0: nothing is presumed);
    `run_spread` is the same for runs.
    `beside` names the metric without which this one misleads.
    """

    name: str
    title: str
    unit: str
    direction: Direction
    formula: str
    meaning: str
    moved_by: str
    fooled_by: str
    per: Per = Per.REPETITION
    definition: int = 1
    tolerance: float | None = None
    decimals: int = 3
    share: bool = False
    least: float = 0.0
    most: float = math.inf
    launch_sd: float = LAUNCH_SD
    run_spread: RunSpread = RUN_SPREAD
    beside: str = ""

    @property
    def lower_is_better(self) -> bool:
        """Whether more is worse."""
        return self.direction is Direction.LOWER

    @property
    def gated(self) -> bool:
        """Whether a change of it can fail a run."""
        return self.tolerance is not None

    @property
    def pair_sd(self) -> float:
        """The presumed standard deviation of a log-ratio of two launches' memory; 0 for any other value.

        Memory does not depend on what else uses the machine. The time of a start does.
        """
        return math.sqrt(2) * self.launch_sd if self.unit == "B" and self.per is Per.LAUNCH else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value that it can have, infinite where it has no bound."""
        return (self.least, min(self.most, 1.0) if self.share else self.most)

    def axis_unit(self, largest: float) -> Scale:
        """The scale for a column or an axis whose largest magnitude is `largest`, in the metric's own unit."""
        if self.share:
            return Scale(factor=100.0, unit="%")
        base, slash, per = self.unit.partition("/")
        if base not in _STEPS or self.unit == "s/s":
            return Scale(factor=1.0, unit="" if self.unit in ("ratio", "count") else self.unit)
        scale = next(scale for start, scale in _STEPS[base] if abs(largest) >= start)
        return Scale(factor=scale.factor, unit=f"{scale.unit}{slash}{per}")

    def format(self, value: float) -> str:
        """A value with its unit: three significant digits if the unit has prefixes, else `decimals` places.

        A nonzero value that would read as 0 gets as many places as it needs. A share has a precision of 0.1 %.
        """
        scale = self.axis_unit(value)
        base = self.unit.partition("/")[0]
        if base in _STEPS and self.unit != "s/s":
            # 999.7 ms is written "1.00 s", not "1000 ms".
            scale = self.axis_unit(_three_digits(value * scale.factor) / scale.factor)
            whole = base == "B" and scale.factor == 1
            number = f"{value * scale.factor:.{0 if whole else _places(value * scale.factor)}f}"
        else:
            shown = value * scale.factor
            number = f"{shown:.{1 if self.share else telling_places(shown, self.decimals)}f}"
        if not number.strip("-0."):
            number = number.removeprefix("-")
        return f"{number} {scale.unit}" if scale.unit else number


def telling_places(value: float, places: int) -> int:
    """`places`, or where a figure other than 0 would read as 0 with them, those that show its first two digits."""
    size = abs(value)
    if size > 0.5 * 10.0**-places or size <= 0.5 * 10.0**-MOST_PLACES:
        return places
    return min(MOST_PLACES, 1 - math.floor(math.log10(size)))


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def _places(value: float) -> int:
    """Decimal places that leave three digits; none for what has three before the point."""
    if value == 0:
        return 0
    return min(2, max(0, 2 - math.floor(math.log10(abs(_three_digits(value))))))
