"""The contents of a run's page as formatted strings, so that templates do no arithmetic."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.analysis.operating_curve import UNCALIBRATED
from harness.core.comma_lists import listed
from harness.core.records.run import Concluded, RunData, RunRecord, bisection_of
from harness.core.records.verdict import Estimate, Summary, TargetKind, Verdict
from harness.metrics.derive import RunValues
from harness.metrics.metric import Direction
from reports.charts.distributions import Distributions, Figure
from reports.charts.style import Drawn
from reports.history.context import Context
from reports.text.choices import chosen
from reports.text.format import VerdictWord, change_of, legend, level, metric_of, moment, percent, ratio_of, sentence
from reports.text.naming import Key, Names, names_of
from reports.views.arms import Arms, arms
from reports.views.changes import Changes, changes
from reports.views.facts import Facts, Gap, facts, gaps, tries
from reports.views.headline import Headline, headline
from reports.views.matrix import Matrix, matrices
from reports.views.players import Players
from reports.views.profiles import ProfileView
from reports.views.replays import ReplayView, replays
from reports.views.speech import Speech
from reports.views.targets import OPEN, TargetLine, TargetTally, tallies, targets, targets_sentence
from reports.views.trade_off import TradeOff, trade_off


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The reference of a run: its values if they are known, and the run record if the reference is one run."""

    estimates: Mapping[Key, Estimate] = field(default_factory=dict)
    run: RunRecord | None = None


NO_REFERENCE = Reference()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """The contents of a run's page."""

    title: str
    id: str
    when: str
    machine: str
    chosen: str
    common: str
    headline: Headline
    changes: Changes
    open_targets: tuple[TargetLine, ...]
    met_targets: tuple[TargetLine, ...]
    targets_sentence: str
    tallies: tuple[TargetTally, ...]
    arms: Arms | None
    trade_off: TradeOff | None
    matrices: tuple[Matrix, ...]
    figures: tuple[Figure, ...]
    left_out: tuple[str, ...]
    """Titles of the metrics whose repetitions are not drawn, because the page would be too large."""
    shortened: bool
    course: Drawn | None
    sound: Players | None
    gaps: tuple[Gap, ...]
    facts: Facts
    legend: tuple[VerdictWord, ...]
    replays: tuple[ReplayView, ...]
    rules: str
    quotes: tuple[str, ...]
    profiles: tuple[ProfileView, ...]
    bisection: str
    """The id of the bisection that the run belongs to; "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a run's page shows besides the values of the run.

    `course` is the chart of the run's course, `sound` are its recordings, `speech` is what is known of its speech,
    `quotes` are sentences on the gate's error rates on this machine, and `profiles` what its profiles show. Of more
    repetitions than `most_marks`, those of the first metrics are drawn.
    """

    course: Drawn | None = None
    sound: Players | None = None
    speech: Speech | None = None
    quotes: tuple[str, ...] = ()
    profiles: tuple[ProfileView, ...] = ()
    most_marks: int | None = None


NO_EXTRAS = Extras()


def run_view(
    data: Concluded,
    *,
    values: RunValues | None = None,
    reference: Reference = NO_REFERENCE,
    extras: Extras = NO_EXTRAS,
) -> RunView:
    """The contents of a run's page.

    `values` are those of the run's scenarios. Without them the page is short: it leaves out single repetitions and met
    targets.
    """
    named = names_of(data)
    speech = extras.speech or Speech(data)
    beside = arms(values.data, values, speech=speech) if values else None
    head = headline(data, named)
    figures, left_out = _figures(values, named, reference, most=extras.most_marks) if values else ((), ())
    return RunView(
        title=f"{head.sentence} · {data.run.id}",
        id=data.run.id,
        when=moment(data.run.started_at),
        machine=data.run.machine.key,
        chosen=chosen(data.run.selection),
        common=named.common,
        headline=head,
        changes=changes(data, named),
        open_targets=targets(data, named, kinds=OPEN),
        met_targets=targets(data, named, kinds=(TargetKind.MET,)) if values else (),
        targets_sentence=targets_sentence(data),
        tallies=tallies(data, named) if data.targets else (),
        arms=beside if beside and len(beside.lines) > 1 else None,
        trade_off=trade_off(values.data, values, speech) if values else None,
        matrices=matrices(data, named),
        figures=figures,
        left_out=left_out,
        shortened=values is None and bool(tries(data)),
        course=extras.course,
        sound=extras.sound,
        gaps=gaps(data, named),
        facts=facts(data.run, before=reference.run),
        legend=legend({verdict.shown_as for verdict in data.verdicts}),
        replays=replays(data, named),
        rules=_rules(data),
        quotes=extras.quotes if any(verdict.change for verdict in data.verdicts) else (),
        profiles=extras.profiles,
        bisection=bisection_of(data.run.selection),
    )


def _figures(
    values: RunValues, named: Names, reference: Reference, *, most: int | None
) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    estimates = implied(values.data) | dict(reference.estimates)
    return Distributions(values, named, reference=estimates).figures(most=most)


def quotes(data: Concluded, context: Context) -> tuple[str, ...]:
    """Sentences on the calibration of the run's scenarios on its machine, or that there was no calibration."""
    known, named = context.curves.get(data.run.machine.key, {}), names_of(data)
    plain = {scenario.id: replace(scenario, arm=replace(scenario.arm, side="", slowdown=0.0)).id
             for scenario in data.run.scenarios}  # fmt: skip
    found: dict[str, list[str]] = {}
    for scenario_id, name in plain.items():
        if name in known:
            found.setdefault(known[name], []).append(named.of(scenario_id).full)
    sentences = [f"{listed(of)}: {text}." for text, of in found.items()]
    return (f"How often the gate errs: {sentences[0]}", *sentences[1:]) if sentences else (sentence(UNCALIBRATED),)


def implied(data: RunData) -> dict[Key, Estimate]:
    """The reference value of each verdict, computed from the verdict: the expected value of an unchanged run.

    A verdict compares the median m with a centre c as the log-ratio log(m / c), with an interval. Hence
    c = m · exp(−change), and the same interval around c contains the medians that the gate considers unchanged.
    """
    summaries = {(each.scenario_id, each.metric): each for each in data.summaries}
    found: dict[Key, Estimate] = {}
    for verdict in data.verdicts:
        key = (verdict.scenario_id, verdict.metric)
        estimate = _implied(verdict, summaries.get(key))
        if estimate is not None:
            found[key] = estimate
    return found


def _implied(verdict: Verdict, summary: Summary | None) -> Estimate | None:
    change = verdict.change
    if change is None or summary is None or summary.median is None or summary.median <= 0:
        return None
    sign = -1.0 if metric_of(verdict.metric).direction is Direction.HIGHER else 1.0
    centre = math.log(summary.median) - sign * change.point
    ends = sorted(centre + sign * (end - change.point) for end in (change.low, change.high))
    return replace(change, point=ratio_of(centre), low=ratio_of(ends[0]), high=ratio_of(ends[1]))


def _rules(data: Concluded) -> str:
    """A sentence on how this run's verdicts were made, from the verdicts' own fields."""
    changes_made = [verdict.change for verdict in data.verdicts if verdict.change]
    if not changes_made:
        return ""
    methods = "; ".join(dict.fromkeys(change.method for change in changes_made))
    references = listed(
        list(dict.fromkeys(_named(each.reference) for each in data.verdicts if each.reference and each.change))[:3]
    )
    bands = sorted({change_of(each.tolerance) for each in data.verdicts if each.change and each.tolerance is not None})
    band = " to ".join(dict.fromkeys(percent(end).lstrip("+") for end in (*bands[:1], *bands[-1:])))
    levels = sorted({change.level for change in changes_made})
    at = level(levels[0]) if len(levels) == 1 else f"{level(levels[0])} to {level(levels[-1])}"
    tolerance = f" The band is the tolerance, {band} either way." if band else ""
    return f"Compared with {references or 'its reference'}. Intervals at {at} (by {methods}).{tolerance}"


def _named(reference: str) -> str:
    return "the baseline" if reference == "baseline" else reference
