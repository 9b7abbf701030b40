"""The recommendation among providers and models, and charts of their speed, audio similarity and size."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from markupsafe import Markup

from harness.analysis.advice.messages import sentence
from harness.analysis.advice.recommend import OBJECTIVES, Objective, Recommendation, recommend
from harness.analysis.messages import no_interval, says_little
from harness.analysis.stats.paired import FEWEST_PAIRS
from harness.core.comma_lists import listed
from harness.core.errors import UsageError
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode
from harness.core.records.verdict import Estimate
from harness.metrics.derive import RunValues
from reports.charts.svg import Axis, Dot, axis, round_step, scale_line, strip
from reports.text.format import (
    NARROW,
    NOTHING,
    Scale,
    arm_parts,
    better,
    change_of,
    level,
    metric_of,
    number,
    percent,
    scale,
)
from reports.text.format import sentence as capitalised
from reports.text.naming import names_of
from reports.views.arms import ITSELF, Arms, arms
from reports.views.speech import Speech
from reports.views.trade_off import TradeOff, trade_off

_TICKS = 4
"""Approximate number of ticks of a court, which is at most a third of a page wide."""
_COURTS = ("rtf", "mcd", "model_size")
"""The metrics of the charts of arms: speed, audio similarity and size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmMarks:
    """One arm. Its marks are in the order of the courts."""

    name: str
    marks: tuple[Markup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """One chart: a metric with the axis on which the arms are drawn."""

    title: str
    better: str
    axis: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An arm in a recommendation: its value, and how far it is behind the best."""

    name: str
    figure: str
    behind: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The recommendation for one objective, with the values behind it."""

    purpose: str
    meaning: str
    sentence: str
    figure: str
    places: tuple[Place, ...]
    basis: str
    excluded: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The arms of a run; `advice` is empty if there is only one. `sound_compared`: their audio was compared."""

    run: str
    advice: tuple[Advice, ...]
    sound_compared: bool
    common: str
    courts: tuple[Court, ...]
    lines: tuple[ArmMarks, ...]
    arms: Arms
    trade_off: TradeOff | None


def choices(data: RunData, values: RunValues | None = None, *, speech: Speech | None = None) -> Choices:
    """The comparison of a run's arms. `values` saves deriving them again; `speech` is what is known of its speech."""
    known = values or RunValues(data)
    speech = speech or Speech(data)
    named = names_of(data)
    spoken = [each for each in data.run.scenarios if each.mode in (Mode.WHOLE, Mode.STREAM)]
    names = {each.arm: named.of(each.id).arm or " · ".join(arm_parts(each)) for each in spoken}
    texts = {each.id.removeprefix(f"{each.arm.id}/"): named.of(each.id).what for each in spoken}
    typical = {metric: _typical(data, list(names), metric) for metric in _COURTS}
    itself = _typical(data, list(names), ITSELF["mcd"])
    axes = {metric: _axis(metric, values) for metric, values in typical.items() if values}
    advice = [_advice(known, each, names, texts) for each in OBJECTIVES.values()] if len(names) > 1 else []
    return Choices(
        run=data.run.id,
        advice=_together(advice),
        sound_compared=bool(typical["mcd"]),
        common=named.common,
        courts=tuple(
            Court(title=metric_of(metric).title, better=better(metric), axis=scale_line(on))
            for metric, on in axes.items()
        ),
        lines=tuple(
            ArmMarks(
                name=name,
                marks=tuple(
                    _mark(
                        metric, typical[metric].get(arm.id), on, itself=itself.get(arm.id) if metric == "mcd" else None
                    )
                    for metric, on in axes.items()
                ),
            )
            for arm, name in names.items()
        ),
        arms=arms(data, known, speech=speech),
        trade_off=trade_off(data, known, speech),
    )


def _together(advice: Sequence[Advice]) -> tuple[Advice, ...]:
    """The recommendations. Those that cannot be made for the same reason are merged into one."""
    alike: dict[str, list[Advice]] = {}
    for each in advice:
        alike.setdefault("" if each.places else each.sentence, []).append(each)
    given = alike.pop("", [])
    return (*given, *(some[0] if len(some) == 1 else _for_all(some) for some in alike.values()))


def _for_all(some: Sequence[Advice]) -> Advice:
    return replace(some[0], purpose=listed([each.purpose for each in some]), meaning="")


def _typical(data: RunData, every: Sequence[Arm], metric: str) -> dict[str, float]:
    """Arm id → the median of its scenarios' medians, for arms with any; for `model_size` the size of its model."""
    found = {arm.id: _medians(data, arm, metric) for arm in every}
    if metric == "model_size":
        found |= {arm.id: [float(arm.model.size)] for arm in every if arm.model}
    return {arm_id: median(medians) for arm_id, medians in found.items() if medians}


def _axis(metric: str, values: Mapping[str, float]) -> Axis:
    on = scale(metric, values.values())
    high = 1.05 * (max(values.values()) or 1.0)
    step = round_step(high / _TICKS)
    places = max(0, -math.floor(math.log10(step * on.factor) + 1e-9))
    unit = f"{NARROW}{on.unit}" if on.unit else ""
    return axis(0.0, high, lambda value: f"{number(value * on.factor, places)}{unit}" if value else "0", about=_TICKS)


def _mark(metric: str, value: float | None, on: Axis, *, itself: float | None) -> Markup:
    """The mark of a value on its axis. Without a value, the mark of `itself`, if the arm is the audio reference."""
    if value is None and itself is not None:
        own = scale(metric, [itself]).full(itself)
        return Markup('<span></span><span class="quiet figure">{} (itself)</span>').format(own)
    if value is None:
        return Markup('<span></span><span class="quiet figure">not known</span>')
    result = scale(metric, [value]).full(value)
    dots = [Dot(value=value, lane=0, title=result)]
    drawn = strip(dots, on=on, lanes=1, reference=None, own=None, finding=f"{metric_of(metric).title} {result}")
    return drawn + Markup('<span class="figure" aria-hidden="true">{}</span>').format(result)


def _advice(known: RunValues, objective: Objective, names: Mapping[Arm, str], texts: Mapping[str, str]) -> Advice:
    """The best arm for an objective, or the reason why there is none."""
    try:
        found = recommend([known.data], objective, values_of=lambda scenario, _: known.of(scenario))
    except UsageError as error:
        return Advice(
            purpose=objective.name,
            meaning=objective.meaning,
            sentence=capitalised(error.what),
            figure="",
            places=(),
            basis="",
            excluded=(),
        )
    on = scale(objective.metric, [each.figure for each in found.candidates])
    by_id = {arm.id: name for arm, name in names.items()}
    excluded = tuple(f"{by_id.get(each.arm_id, each.arm_id)}: {_worded(each.reason, texts)}" for each in found.excluded)
    return Advice(
        purpose=objective.name,
        meaning=objective.meaning,
        sentence=sentence(found, lambda arm: names[arm]).replace(" %", f"{NARROW}%"),
        figure=metric_of(objective.metric).title,
        places=tuple(_places(found, on, names)),
        basis=_basis(found, texts),
        excluded=excluded,
    )


def _worded(reason: str, texts: Mapping[str, str]) -> str:
    """A reason with readable names of texts. The longest ids are replaced first, because one may start another."""
    for text in sorted(texts, key=len, reverse=True):
        reason = reason.replace(text, f"“{texts[text]}”")
    return reason


def _places(found: Recommendation, on: Scale, names: Mapping[Arm, str]) -> list[Place]:
    best = Place(name=names[found.best.arm], figure=on.full(found.best.figure), behind=NOTHING, result="best")
    rest = [
        Place(
            name=names[candidate.arm],
            figure=on.full(candidate.figure),
            behind=_behind(lead.behind)
            or (percent(candidate.figure / found.best.figure - 1) if found.best.figure else NOTHING),
            result=f"too few pairs: at least {FEWEST_PAIRS} are needed"
            if not lead.enough_pairs
            else "level with the best"
            if lead.level
            else "behind",
        )
        for candidate, lead in zip(found.candidates[1:], found.leads, strict=True)
    ]
    return [best, *rest]


def _behind(lead: Estimate | None) -> str:
    if lead is None:
        return ""
    point, low, high = (percent(change_of(each)) for each in (lead.point, lead.low, lead.high))
    return f"{point} ({no_interval(lead.n) if says_little(lead) else f'{low} to {high}'})"


def _basis(found: Recommendation, texts: Mapping[str, str]) -> str:
    """A sentence on the values and on how the intervals were computed."""
    levels = {lead.behind.level for lead in found.leads if lead.behind}
    intervals = f"; intervals at {level(levels.pop())} each, from pairs run in the same blocks" if levels else ""
    over = listed([f"“{texts.get(text, text)}”" for text in found.texts])
    return f"Geometric mean over {over}{intervals}."


def _medians(data: RunData, arm: Arm, metric: str) -> list[float]:
    ours = {each.id for each in data.run.scenarios if each.arm == arm}
    return [
        each.median
        for each in data.summaries
        if each.metric == metric and each.scenario_id in ours and each.median is not None
    ]
