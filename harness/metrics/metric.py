"""The definition of a metric, and the format of its values."""

import math
from dataclasses import dataclass
from enum import StrEnum

from harness.core.quantities import Figure


class Direction(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"
    ONE = "one"
    """The nearer to 1, the better."""
    NEITHER = "neither"
    """Neither is better: the metric only describes."""


class Per(StrEnum):
    """The unit of observation: what gives one value."""

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
    """The format of values on one axis or in one column: value × `factor`, then `unit` ("" for none)."""

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
"""The presumed standard deviation between launches: two shared cores showed 3.5 % at default threads and 0.8 % at one
thread, and more while others used the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpread:
    """The presumed deviation of the median of a metric between runs of an unchanged subject on one machine.

    `sd` is a standard deviation of logarithms; `freedom` are the degrees of freedom with which it counts beside what
    the machine's accepted runs show, few if its `source` is thin. 0 and infinity: the metric repeats exactly.
    """

    sd: float
    freedom: float
    source: str = ""

    @property
    def exact(self) -> bool:
        """Whether runs of an unchanged subject have equal values, so that any difference is a change."""
        return self.sd == 0


RUN_SPREAD = RunSpread(
    sd=0.05,
    freedom=4.0,
    source="one host of two shared cores: runs of different hours differed by 2 to 11 %, and by more while others used "
    "the host; dedicated machines differ less",
)
"""The spread of times between runs. It counts little, because its source is one host."""

EXACT = RunSpread(sd=0.0, freedom=math.inf, source="computed from the same bytes, so that it repeats exactly")

MOST_PLACES = 9
"""The most decimal places of a value. A smaller value is a rounding error, and shown as 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, as tables, gate, axes and glossary read it. Only values of one `definition` are comparable.

    `tolerance` is the largest acceptable change, as a ratio (0.05 is 5 %); a metric with None is shown and not gated.
    `decimals` are the places of a value whose unit has no prefixes. A `share` is a part of a whole, between 0 and 1 and
    shown in per cent. `least` and `most` are the bounds of possible values, in the metric's unit. `launch_sd` is the
    presumed standard deviation between launches of one arm, as a log-ratio (0: none is presumed); `run_spread` is the
    same for runs. `beside` names the metric without which this one misleads.
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
        return self.direction is Direction.LOWER

    @property
    def gated(self) -> bool:
        """Whether a change can fail a run."""
        return self.tolerance is not None

    @property
    def pair_sd(self) -> float:
        """The presumed standard deviation of a log-ratio of two launches' memory; 0 for any other value.

        Memory does not depend on what else uses the machine. The time of a start does.
        """
        return math.sqrt(2) * self.launch_sd if self.unit == "B" and self.per is Per.LAUNCH else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest possible value; infinite without a bound."""
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
            number = f"{Figure(value * scale.factor):.{0 if whole else _places(value * scale.factor)}f}"
        else:
            shown = value * scale.factor
            number = f"{Figure(shown):.{1 if self.share else telling_places(shown, self.decimals)}f}"
        return f"{number} {scale.unit}" if scale.unit else number


def telling_places(value: float, places: int) -> int:
    """`places`, or as many as show the first two digits of a value that would read as 0 with them."""
    size = abs(value)
    if size > 0.5 * 10.0**-places or size <= 0.5 * 10.0**-MOST_PLACES:
        return places
    return min(MOST_PLACES, 1 - math.floor(math.log10(size)))


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def _places(value: float) -> int:
    """The decimal places that show three digits in all."""
    if value == 0:
        return 0
    return min(2, max(0, 2 - math.floor(math.log10(abs(_three_digits(value))))))
