"""Speed against sound: what each variant gains in time and costs in quality, against one original in the same run."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from harness.analysis.audio_limits import counterpart_of, is_original_of
from harness.analysis.stats.paired import deferred_estimates
from harness.core.comma_lists import listed
from harness.core.errors import MeasurementError
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.metrics.derive import RunValues, paired_log_ratios
from reports.charts.style import Drawn
from reports.charts.svg import Range
from reports.charts.trade_off import Point, draw
from reports.text.format import NARROW, NOTHING, arm_parts, count, metric_of, number, percent, scale
from reports.text.naming import names_of
from reports.views.arms import references_of
from reports.views.speech import Badge, Speech, together

LEVEL = 0.95
"""Of each interval of a latency."""
QUALITY = "dnsmos_overall"
UNIT = "MOS"
_READING = (
    "Left is faster, up is better rated by DNSMOS, a model of how people rate speech. A small mark is one "
    "text, the large one the median; the bar is the interval of the latency, pair by pair."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeLine:
    """A variant below the picture, with the letter that it has in it ("" where it is not drawn)."""

    letter: str
    name: str
    latency: str
    interval: str
    quality: str
    texts: str
    size: str
    badge: Badge | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """The picture, and the same as a table."""

    drawing: Drawn
    lines: tuple[TradeLine, ...]
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    """A variant beside its original: log-ratios of latency by launch, differences of quality by text."""

    arm: Arm
    name: str
    pairs: tuple[tuple[float, ...], ...]
    apart: tuple[tuple[str, float], ...]
    badge: Badge | None


def trade_off(data: RunData, values: RunValues, speech: Speech) -> TradeOff | None:
    """The picture of a run; None where no variant has both a latency and a quality beside those of an original."""
    pairs = _beside_their_originals(data)
    if not pairs:
        return None
    named = names_of(data)
    names = {each.arm: named.of(each.id).arm or " · ".join(arm_parts(each)) for each in data.run.scenarios}
    original = pairs[0][1].arm
    variants = [
        _variant(arm, names[arm], [pair for pair in pairs if pair[0].arm == arm], values, speech)
        for arm in dict.fromkeys(ours.arm for ours, _ in pairs)
    ]
    changes = _changes(variants)
    drawn = [(each, change) for each, change in zip(variants, changes, strict=True) if change and each.apart]
    if not drawn:
        return None
    letters = {each.arm: chr(ord("A") + index % 26) for index, (each, _) in enumerate(drawn)}
    points = [
        Point(
            letter=letters[each.arm],
            name=each.name,
            glyph=each.badge.glyph if each.badge else "",
            css=each.badge.css if each.badge else "none",
            x=change,
            y=median(apart for _, apart in each.apart),
            dots=tuple((apart, _dot_words(each.name, text, apart)) for text, apart in each.apart),
            words=f"{each.name}: {percent(change.point)} latency, {_mos(median(a for _, a in each.apart))}",
        )
        for each, change in drawn
    ]
    role, finding = _role(pairs, data), _finding(points, names[original])
    wide, narrow = (
        draw(points, original=names[original], role=role, finding=finding, narrow=narrow) for narrow in (False, True)
    )
    return TradeOff(
        drawing=Drawn(wide=wide, narrow=narrow, finding=finding, reading=_READING),
        lines=_lines(data, original, f"{names[original]} (the {role})", variants, changes, letters),
        basis=_basis(pairs, names[original]),
    )


def _beside_their_originals(data: RunData) -> list[tuple[Scenario, Scenario]]:
    """Scenarios with those that they are held against: of the arm that most are held against."""
    held = references_of(data)
    found = []
    for each in data.run.scenarios:
        if each.mode is Mode.WHOLE and each.speed == 1.0 and each.concurrency == 1 and not each.arm.slowdown:
            other = counterpart_of(each, data.run.scenarios, references=held)
            if other is not None:
                found.append((each, other))
    if not found:
        return []
    (original, _), *_ = Counter(other.arm for _, other in found).most_common(1)
    return [(ours, theirs) for ours, theirs in found if theirs.arm == original]


def _role(pairs: Sequence[tuple[Scenario, Scenario]], data: RunData) -> str:
    """What the variants are held against: their original, or just the reference of the run."""
    known = all(
        is_original_of(theirs, ours, data.run.scenarios) and ours.arm.model != theirs.arm.model
        for ours, theirs in pairs
    )
    return "original" if known else "reference"


def _variant(
    arm: Arm, name: str, pairs: Sequence[tuple[Scenario, Scenario]], values: RunValues, speech: Speech
) -> _Variant:
    medians = {each.scenario_id: each.median for each in values.data.summaries if each.metric == QUALITY}
    named = names_of(values.data)
    apart = tuple(
        (named.of(ours.id).what, mine - original)
        for ours, theirs in pairs
        if (mine := medians.get(ours.id)) is not None and (original := medians.get(theirs.id)) is not None
    )
    return _Variant(
        arm=arm,
        name=name,
        pairs=_log_ratios(pairs, values),
        apart=apart,
        badge=together([speech.badge(ours.id) for ours, _ in pairs]),
    )


def _log_ratios(pairs: Sequence[tuple[Scenario, Scenario]], values: RunValues) -> tuple[tuple[float, ...], ...]:
    """Mean over the texts of each block's log-ratio of latency, launch by launch, as far as every text has one."""
    sheets = []
    for ours, theirs in pairs:
        try:
            found = paired_log_ratios(values.of(ours)["latency"], values.of(theirs)["latency"])
        except MeasurementError:
            continue
        if found:
            sheets.append(found)
    return tuple(
        tuple(fmean(each) for each in zip(*launch, strict=False)) for launch in zip(*sheets, strict=False) if launch
    )


def _changes(variants: Sequence[_Variant]) -> list[Range | None]:
    """The change of each variant's latency as a ratio to 1, with its interval where there are enough pairs."""
    found: list[Range | None] = []
    for each, deferred in zip(variants, deferred_estimates([each.pairs for each in variants]), strict=True):
        flat = [pair for launch in each.pairs for pair in launch]
        if deferred is not None:
            estimate = deferred.estimate(LEVEL)
            ends = (math.expm1(end) for end in (estimate.point, estimate.low, estimate.high))
            found.append(Range(point=next(ends), low=next(ends), high=next(ends)))
        elif flat:
            middle = math.expm1(median(flat))
            found.append(Range(point=middle, low=middle, high=middle))
        else:
            found.append(None)
    return found


def _mos(apart: float) -> str:
    text = number(apart, 2)
    return f"{text if text[0] == '−' or not apart else '+' + text}{NARROW}{UNIT}"


def _dot_words(name: str, text: str, apart: float) -> str:
    return f"{name}, {text}: {_mos(apart)}"


def _finding(points: Sequence[Point], original: str) -> str:
    """The picture in words: the fastest variant, and the one that sounds worst."""
    fastest, worst = min(points, key=lambda each: each.x.point), min(points, key=lambda each: each.y)
    described = [
        f"{each.name}: latency {percent(each.x.point)}, DNSMOS {_mos(each.y)}"
        for each in dict.fromkeys((fastest, worst))
    ]
    return f"Against {original}. {'; '.join(described)}."


def _lines(
    data: RunData,
    original: Arm,
    name: str,
    variants: Sequence[_Variant],
    changes: Sequence[Range | None],
    letters: dict[Arm, str],
) -> tuple[TradeLine, ...]:
    sizes = {each.arm: float(each.arm.model.size) for each in data.run.scenarios if each.arm.model}
    on = scale("model_size", [size for size in sizes.values() if size])

    def size(arm: Arm) -> str:
        return on.full(sizes[arm]) if sizes.get(arm) else NOTHING

    lines = [TradeLine(letter="", name=name, latency="0", interval="", quality="0", texts="",
                       size=size(original), badge=None)]  # fmt: skip
    for each, change in zip(variants, changes, strict=True):
        low, high = (min((a for _, a in each.apart), default=0.0), max((a for _, a in each.apart), default=0.0))
        texts = f"{_mos(low)} to {_mos(high)} over {count(len(each.apart), 'text')}" if len(each.apart) > 1 else ""
        lines.append(
            TradeLine(
                letter=letters.get(each.arm, ""),
                name=each.name,
                latency=percent(change.point) if change else NOTHING,
                interval=f"{percent(change.low)} to {percent(change.high)}" if change and change.low < change.high
                else "too few pairs" if change else "",
                quality=_mos(median(a for _, a in each.apart)) if each.apart else NOTHING,
                texts=texts,
                size=size(each.arm),
                badge=each.badge,
            )
        )  # fmt: skip
    return tuple(lines)


def _basis(pairs: Sequence[tuple[Scenario, Scenario]], original: str) -> str:
    texts = listed(list(dict.fromkeys(ours.text_class for ours, _ in pairs)))
    return (
        f"Against {original}, on {texts}: latency pair by pair from the same blocks, each interval at 95{NARROW}%; "
        f"{metric_of(QUALITY).title}, text by text."
    )
