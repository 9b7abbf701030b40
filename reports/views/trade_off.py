"""Speed against sound against memory: what each variant gains and costs, against one original in the same run."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from harness.analysis.advice.frontier import ORIGINAL, Standing, dominated
from harness.analysis.audio_limits import counterpart_of, is_original_of
from harness.core.comma_lists import listed
from harness.core.errors import MeasurementError
from harness.core.quantities import Figure
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.core.records.speech import SpeechKind
from harness.metrics.derive import RunValues
from harness.metrics.values import paired_log_ratios
from reports.charts.style import Drawn
from reports.charts.svg import Range
from reports.charts.trade_off import Point, draw
from reports.text.format import NARROW, NOTHING, arm_parts, change_of, count, metric_of, percent, scale
from reports.text.naming import names_of
from reports.views.arms import references_of
from reports.views.pair_changes import pair_changes
from reports.views.speech import Badge, Speech, together

QUALITY = "dnsmos_overall"
UNIT = "MOS"
ORIGIN = ""
"""Stands for the original among the names of variants."""
UNFIT = (SpeechKind.BROKEN.value, SpeechKind.DIFFERENT.value)
"""The words of badges of speech that is never recommended."""
_READING = (
    "Left is faster, up is better rated by DNSMOS, a model of how people rate speech. A small mark is one "
    "text, the large one the median, and larger the more memory the variant needs; the bar is the interval of the "
    "latency, pair by pair. The line is the frontier: no other variant beats those on it in speed, sound and memory at "
    "once."
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
    memory: str
    size: str
    badge: Badge | None
    standing: str
    """Whether it is on the frontier, or what beats it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOff:
    """The picture, and the same as a table."""

    drawing: Drawn
    lines: tuple[TradeLine, ...]
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    """A variant beside its original: log-ratios of latency by launch, differences of quality by text.

    `memory` is the change of the peak memory as a ratio to 1, None if it is unknown.
    """

    arm: Arm
    name: str
    pairs: tuple[tuple[float, ...], ...]
    apart: tuple[tuple[str, float], ...]
    memory: float | None
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
    changes = pair_changes([each.pairs for each in variants])
    drawn = [(each, change) for each, change in zip(variants, changes, strict=True) if change and each.apart]
    if not drawn:
        return None
    beaten = _beaten(drawn)
    letters = {each.arm: chr(ord("A") + index % 26) for index, (each, _) in enumerate(drawn)}
    points = [
        Point(
            letter=letters[each.arm],
            name=each.name,
            glyph=each.badge.glyph if each.badge else "",
            css=each.badge.css if each.badge else "none",
            x=change,
            y=median(apart for _, apart in each.apart),
            dots=tuple((apart, f"{each.name}, {text}: {_mos(apart)}") for text, apart in each.apart),
            words=_words(each, change),
            weight=1.0 + (each.memory or 0.0),
            frontier=_is_fit(each) and each.name not in beaten and change.low < change.high,
        )
        for each, change in drawn
    ]
    role, finding = _role(pairs, data), _finding(points, names[original])
    # What is drawn may be beaten by the original itself, which has its name and its role in the table.
    beaten = {name: names[original] if by == ORIGIN else by for name, by in beaten.items()}
    wide, narrow = (
        draw(points, original=names[original], role=role, finding=finding, narrow=narrow) for narrow in (False, True)
    )
    return TradeOff(
        drawing=Drawn(wide=wide, narrow=narrow, finding=finding, reading=_READING),
        lines=_lines(data, original, f"{names[original]} (the {role})", variants, changes, letters, beaten=beaten),
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
        memory=_memory(pairs, values.data),
        badge=together([speech.badge(ours.id) for ours, _ in pairs]),
    )


def _memory(pairs: Sequence[tuple[Scenario, Scenario]], data: RunData) -> float | None:
    """The change of the peak memory as a ratio to 1: the mean log-ratio of the medians over the texts."""
    peaks = {each.scenario_id: each.median for each in data.summaries if each.metric == "rss_peak" and each.median}
    logs = [
        math.log(mine / theirs)
        for one, other in pairs
        if (mine := peaks.get(one.id)) is not None and (theirs := peaks.get(other.id)) is not None
    ]
    return change_of(fmean(logs)) if logs else None


def _is_fit(variant: _Variant) -> bool:
    """Whether nothing is known against its speech."""
    return variant.badge is None or variant.badge.word not in UNFIT


def _beaten(drawn: Sequence[tuple[_Variant, Range]]) -> dict[str, str]:
    """Name of a variant → the name of one that beats it in every respect; `ORIGIN` for the original."""
    standings = {
        each.name: Standing(
            latency=change.point,
            low=change.low,
            high=change.high,
            quality=median(apart for _, apart in each.apart),
            memory=each.memory,
            fit=_is_fit(each),
        )
        for each, change in drawn
        if change.low < change.high
    }
    return dominated({ORIGIN: ORIGINAL, **standings})


def _words(variant: _Variant, change: Range) -> str:
    memory = "" if variant.memory is None else f", {percent(variant.memory)} memory"
    return f"{variant.name}: {percent(change.point)} latency, {_mos(median(a for _, a in variant.apart))}{memory}"


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


def _mos(apart: float) -> str:
    return f"{Figure(apart):{'+' if apart else ''}.2f}{NARROW}{UNIT}"


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
    *,
    beaten: dict[str, str],
) -> tuple[TradeLine, ...]:
    sizes = {each.arm: float(each.arm.model.size) for each in data.run.scenarios if each.arm.model}
    on = scale("model_size", [size for size in sizes.values() if size])

    def size(arm: Arm) -> str:
        return on.full(sizes[arm]) if sizes.get(arm) else NOTHING

    lines = [TradeLine(letter="", name=name, latency="0", interval="", quality="0", texts="",
                       memory="0", size=size(original), badge=None,
                       standing=_standing(beaten.get(ORIGIN, "")))]  # fmt: skip
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
                memory=percent(each.memory) if each.memory is not None else NOTHING,
                size=size(each.arm),
                badge=each.badge,
                standing=_standing(beaten.get(each.name, ""), each)
                if change and change.low < change.high and each.arm in letters
                else "too few pairs to tell",
            )
        )  # fmt: skip
    return tuple(lines)


def _standing(by: str, variant: _Variant | None = None) -> str:
    """Where a line stands: on the frontier, or what beats it. `variant` is None for the original."""
    if variant is not None and not _is_fit(variant):
        return "not to be chosen: its speech is not the original's"
    return f"dominated by {by}" if by else "on the frontier"


def _basis(pairs: Sequence[tuple[Scenario, Scenario]], original: str) -> str:
    texts = listed(list(dict.fromkeys(ours.text_class for ours, _ in pairs)))
    return (
        f"Against {original}, on {texts}: latency pair by pair from the same blocks, each interval at 95{NARROW}%; "
        f"{metric_of(QUALITY).title}, text by text."
    )
