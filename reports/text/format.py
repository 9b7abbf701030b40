"""Figures and verdicts in words: one rule for units, signs, dates and names, used by every page and by the Markdown."""

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from markupsafe import Markup

from harness.analysis.messages import no_interval, says_little
from harness.core.quantities import MINUS, Figure
from harness.core.records.scenario import PLAIN_ENGINES, Arm, Arrivals, Scenario, Traffic
from harness.core.records.verdict import SPEECH_VERDICT, Estimate, Leniency, Shown, VerdictKind
from harness.metrics.metric import MOST_PLACES, Direction, Metric, telling_places
from harness.metrics.registry import METRICS

LARGEST_LOG = 100.0
"""Beyond this (a ratio of 10 to the power 43) a log-ratio says only that nothing is known."""
NARROW = "\u202f"
"""A no-break space between a number and its unit."""
NOTHING = "\u2013"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictWord:
    """How one kind of verdict is shown: a glyph for readers without colour, a word, and a class for the style sheet.

    All of it is ours, and so needs no escaping.
    """

    glyph: Markup
    word: Markup
    css: Markup
    meaning: Markup


def _word(glyph: str, word: str, css: str, meaning: str) -> VerdictWord:
    ours = (Markup(text) for text in (glyph, word, css, meaning))  # noqa: S704 - constants of this module
    return VerdictWord(**dict(zip(("glyph", "word", "css", "meaning"), ours, strict=True)))


VERDICT_WORDS: dict[Shown, VerdictWord] = {
    VerdictKind.REGRESSED: _word(
        "▲",
        "worse",
        "worse",
        "the whole interval is on the worse side, and the change is at least the tolerance",
    ),
    VerdictKind.FAILED: _word("✕", "failed", "failed", "could not be measured validly in this run"),
    VerdictKind.MISSING: _word("∅", "missing", "failed", "in the baseline, but not measured in this run"),
    Leniency.WAIVED: _word("▲", "waived", "unclear", "worse, and the user's waiver holds: it fails nothing"),
    Leniency.INFORMS: _word("▲", "worse, informs", "unclear", "worse in a metric that does not gate: it fails nothing"),
    VerdictKind.IMPROVED: _word(
        "▼",
        "better",
        "better",
        "the whole interval is on the better side, and the change is at least the tolerance",
    ),
    VerdictKind.DIFFERENT: _word(
        "≈", "different", "unclear", "its speech differs from its original's, and is not broken"
    ),
    VerdictKind.INCONCLUSIVE: _word(
        "?",
        "unclear",
        "unclear",
        "the interval reaches beyond the tolerance: neither a change nor its absence is shown",
    ),
    VerdictKind.UNCHANGED: _word("=", "unchanged", "same", "the whole interval lies within the tolerance"),
    VerdictKind.SAME_SUBJECT: _word(
        "≡", "same subject", "same", "nothing under test changed since it was accepted, so no change is in question"
    ),
    VerdictKind.NO_BASELINE: _word("○", "no baseline", "none", "there is nothing to compare with yet"),
    VerdictKind.INCOMPARABLE: _word(
        "≠", "incomparable", "none", "the reference has another machine, setting or definition"
    ),
}
"""Most urgent first: the order of every list and legend."""

UNJUDGED = _word("", "", "bare", "")
"""For a value without a verdict."""


def legend(shown: Collection[Shown]) -> tuple[VerdictWord, ...]:
    """The words that a page explains: all kinds, and of regressions that fail nothing what is `shown`."""
    return tuple(word for kind, word in VERDICT_WORDS.items() if isinstance(kind, VerdictKind) or kind in shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How the figures of one table column or one axis are written: value × `factor`, `decimals` places, `unit`."""

    factor: float
    decimals: int
    unit: str
    share: bool = False

    def bare(self, value: float | None) -> str:
        """The number alone, which reads as 0 only for 0 or a share of next to nothing; a dash for what is unknown."""
        if value is None:
            return NOTHING
        shown = value * self.factor
        return number(shown, self.decimals if self.share else telling_places(shown, self.decimals))

    def full(self, value: float | None) -> str:
        """The number with its unit."""
        text = self.bare(value)
        return f"{text}{NARROW}{self.unit}" if self.unit and value is not None else text


SPEECH_QUALITY = Metric(
    name=SPEECH_VERDICT,
    title="Speech",
    unit="",
    direction=Direction.NEITHER,
    formula="",
    meaning="Whether the audio says and sounds the same as its original's.",
    moved_by="Quantisation, another voice, missing or other words.",
    fooled_by="What neither the recogniser nor the estimator notices.",
)
"""Verdicts on speech have no values of their own."""


def metric_of(name: str) -> Metric:
    """The metric of a stored figure; one that the registry no longer knows is shown under its name, in bare numbers."""
    if name == SPEECH_VERDICT:
        return SPEECH_QUALITY
    return METRICS.get(name) or Metric(
        name=name,
        title=name,
        unit="",
        direction=Direction.LOWER,
        formula="",
        meaning="A metric of another version of kokoro-bench.",
        moved_by="",
        fooled_by="",
    )


def better(name: str) -> str:
    """Which way is better, as a clause: "lower is better", "the nearer to 1, the better"."""
    direction = metric_of(name).direction
    if direction is Direction.ONE:
        return "the nearer to 1, the better"
    return "neither way is better" if direction is Direction.NEITHER else f"{direction.value} is better"


def in_order(names: Iterable[str]) -> list[str]:
    """Metrics in the registry's order, and after them those that it does not know."""
    wanted = set(names)
    return [name for name in METRICS if name in wanted] + sorted(wanted - METRICS.keys())


def scale(name: str, values: Iterable[float | None]) -> Scale:
    """One scale for all `values` of a metric (in its own unit): the unit by the largest, the places by both ends."""
    metric = metric_of(name)
    sizes = [abs(value) for value in values if value]
    chosen = metric.axis_unit(max(sizes, default=1.0))
    if metric.share:
        return Scale(factor=chosen.factor, decimals=_share_places(sizes), unit=chosen.unit, share=True)
    largest, smallest = (chosen.factor * end(sizes, default=1.0) for end in (max, min))
    return Scale(factor=chosen.factor, decimals=_places(largest, smallest), unit=chosen.unit)


def _places(largest: float, smallest: float) -> int:
    """Places that give the largest figure three digits, and the smallest two as far as three places do that."""
    needed, wished = 2 - math.floor(math.log10(largest)), 1 - math.floor(math.log10(smallest))
    return max(0, min(MOST_PLACES, needed), min(3, wished))


def _share_places(sizes: list[float]) -> int:
    """Places of a share in per cent: one, but more where all of them are below one per cent and would read alike."""
    largest = 100 * max(sizes, default=1.0)
    return 1 if largest >= 1 else min(3, 1 - math.floor(math.log10(largest)))


def finer(on: Scale, step: float) -> Scale:
    """The scale with as many places as tell two figures apart that differ by `step` (in the metric's own unit)."""
    size = abs(step) * on.factor
    wished = -math.floor(math.log10(size)) if size > 0 else 0
    return replace(on, decimals=max(on.decimals, min(wished, MOST_PLACES)))


def number(value: float, places: int) -> str:
    """A number with a true minus sign, and without the sign of a negative zero."""
    return f"{Figure(value):,.{places}f}".replace(",", NARROW)


def percent(ratio: float, places: int = 1) -> str:
    """A change given as a ratio to 1 (0.083 → "+8.3 %"), always with its sign."""
    return f"{Figure(100 * ratio):+,.{places}f}{NARROW}%".replace(",", NARROW)


def ratio_of(log_ratio: float) -> float:
    """The ratio of a log-ratio. That of an interval without any precision is cut, because it would overflow."""
    return math.exp(min(log_ratio, LARGEST_LOG))


def change_of(log_ratio: float) -> float:
    """The same as a ratio to 1: 0.0488 → 0.05."""
    return math.expm1(min(log_ratio, LARGEST_LOG))


def value_change(metric: str, log_ratio: float) -> float:
    """The change of the metric's value, as a ratio to 1, from a log-ratio signed so that positive is worse.

    Where the nearest to 1 is best, the sign says nothing of the value: it stays the distance from the best.
    """
    return change_of(-log_ratio if metric_of(metric).direction is Direction.HIGHER else log_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeWords:
    """A change with its interval, in the direction of the metric's own value."""

    point: str
    interval: str
    level: str


def change_words(metric: str, estimate: Estimate) -> ChangeWords:
    """An estimated log-ratio as per cent of the metric's value."""
    ends = sorted((value_change(metric, estimate.low), value_change(metric, estimate.high)))
    low, high = (percent(end).removesuffix(f"{NARROW}%") for end in ends)
    return ChangeWords(
        point=percent(value_change(metric, estimate.point)),
        interval=no_interval(estimate.n) if says_little(estimate) else f"{low} to {high}{NARROW}%",
        level=level(estimate.level),
    )


def level(probability: float) -> str:
    """A level of confidence with as many digits as tell it from 1: 0.999 → "99.9 %", 0.996715 → "99.67 %"."""
    if not 0 < probability < 1:
        return f"{100 * probability:g}{NARROW}%"
    digits = max(1, math.ceil(-math.log10(1 - probability) - 1e-9) - 1)
    return f"{round(100 * probability, digits):g}{NARROW}%"


def typeset(text: str) -> str:
    """A recorded sentence with true minus signs, and with its per cent signs kept beside their numbers."""
    return re.sub(r"(?<=\d) ?%(?!\w)", f"{NARROW}%", re.sub(r"(?<![\w.`-])-(?=\d)", MINUS, text))


def moment(seconds: float) -> str:
    """A time (s since the epoch) for people: "1 December 2026, 04:30 UTC"."""
    when = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def day(seconds: float) -> str:
    """The UTC date of a time (s since the epoch), as YYYY-MM-DD."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d}"


def span(seconds: float) -> str:
    """A duration for people: "4.5 s", "90 s", and from two minutes on "3 min 5 s"."""
    if seconds < 120:
        return f"{number(seconds, 0 if seconds >= 10 else 1)}{NARROW}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}{NARROW}min {rest}{NARROW}s" if rest else f"{minutes}{NARROW}min"


def count(n: int, one: str, many: str = "") -> str:
    """A number of things: "1 target", "3 targets"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}".replace(",", NARROW)


def sentence(text: str) -> str:
    """A reason as it was recorded, with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def visible(text: str) -> str:
    """Text with every character that would hide, reorder or break what stands around it shown as its number."""
    if text.isprintable():  # the usual case, and much faster
        return text
    return _HIDDEN.sub(lambda match: f"\u27e8U+{ord(match[0]):04X}\u27e9", text)


def revision_words(arm: Arm) -> str:
    """The revision of an arm, for people: its short commit and subject line; "" for none."""
    if arm.source and not arm.runtime.requirements:
        return visible(arm.source)
    return f"revision {visible(arm.source) or arm.revision}" if arm.revision else ""


def arm_parts(scenario: Scenario) -> tuple[str, ...]:
    """What a scenario's arm is, for people: the model first."""
    arm = scenario.arm
    parts = [arm.model.name if arm.model else arm.engine]
    if arm.model and arm.engine not in PLAIN_ENGINES:
        parts.append(arm.engine)
    if arm.provider:
        parts += [arm.provider, count(arm.threads, "thread") if arm.threads else "default threads"]
    if arm.runtime.requirements:
        parts.append(f"{arm.runtime.name}, {visible(arm.source)}" if arm.source else arm.runtime.name)
    parts += [f"{key}={value}" for key, value in (*arm.provider_options, *arm.session_options)]
    parts += [part for part in (arm.url, revision_words(arm)) if part]
    if arm.side:
        parts.append(arm.side)
    if arm.slowdown:
        parts.append(f"slowed by {arm.slowdown:g}")
    return tuple(parts)


def traffic_words(traffic: Traffic) -> str:
    """A load in words: "4 users", "from 1 to 20 requests a second"."""
    if traffic.arrivals is Arrivals.CLOSED:
        manner = " who listen to the end" if traffic.listen else ""
        return count(round(traffic.level), "user") + manner
    if traffic.arrivals is Arrivals.RAMP:
        return f"from {traffic.first:g} to {traffic.level:g} requests a second"
    return f"{traffic.level:g} requests a second, {'evenly' if traffic.arrivals is Arrivals.CONSTANT else 'at random'}"


def request_parts(scenario: Scenario) -> tuple[str, ...]:
    """What a scenario asks of its arm, for people: the text first."""
    if scenario.mode.is_start_up:
        return ({"load-warm": "warm start", "load-cold": "cold start"}[scenario.mode.value],)
    parts = [scenario.text_class, scenario.mode.value, f"voice {scenario.voice}"]
    if scenario.speed != 1.0:
        parts.append(f"speed {scenario.speed:g}")
    if scenario.variant is None:
        parts.append("rotating texts")
    elif scenario.variant:
        parts.append(f"text {scenario.variant}")
    if scenario.concurrency != 1:
        parts.append(f"{scenario.concurrency} at once" + (", all the same text" if scenario.stampede else ""))
    if scenario.repeats != 1:
        parts.append(f"{scenario.repeats} in a row")
    if scenario.traffic is not None:
        parts.append(traffic_words(scenario.traffic))
    return tuple(parts)
