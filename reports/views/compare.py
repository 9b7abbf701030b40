"""Compares two runs as a page, HTML or Markdown. It shows differences; only the gate makes verdicts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.analysis.causes import arm_differences
from harness.analysis.messages import no_interval
from harness.core.comma_lists import listed
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.verdict import Summary
from harness.core.redaction import published
from harness.engines.languages import DEFAULT
from harness.metrics.metric import Direction
from harness.metrics.registry import lacks_interval
from harness.plan.corpus import text_language
from reports.text.format import (
    NOTHING,
    arm_parts,
    count,
    in_order,
    metric_of,
    moment,
    percent,
    request_parts,
    scale,
)
from reports.text.leniency import lenient_sentences
from reports.text.naming import Key, Label, names
from reports.views.facts import Fact, conditions_apart, differences
from reports.views.summary import escape, table

MOST = 20
"""The maximum number of lines of a comparison in Markdown."""
JSON_FORMAT = 1
"""Version of the JSON. History: 1, the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One metric in both runs. `apart` says whether the two intervals do not overlap."""

    label: Label
    metric: str
    before: str
    after: str
    change: str
    interval: str
    css: str
    word: str
    sort: str
    values: tuple[Summary, Summary]
    """The values themselves, before and after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The comparison of two runs, or of the two arms of a duel."""

    title: str
    sentence: str
    before: str
    after: str
    before_when: str
    after_when: str
    warnings: tuple[str, ...]
    differences: tuple[Fact, ...]
    pairs: tuple[Pair, ...]
    common: str
    heads: tuple[str, str] = ("Before", "After")
    of: str = "runs"


def comparison_of_runs(before: RunData, after: RunData) -> Comparison:
    """The differences of `after` from `before`. Pairs whose intervals do not overlap come first, largest first."""
    before, after = published(before), published(after)
    named = names(tuple({each.id: each for each in (*before.run.scenarios, *after.run.scenarios)}.values()))
    old, new = _summaries(before), _summaries(after)
    shared = [key for key in new if key in old]
    pairs = _ordered(_pair(named.of(key[0]), old[key], new[key]) for key in shared)
    return Comparison(
        title=f"{after.run.id} against {before.run.id}",
        sentence=_sentence(pairs, "runs", only_later=len(new) - len(shared), only_earlier=len(old) - len(shared)),
        before=before.run.id,
        after=after.run.id,
        before_when=moment(before.run.started_at),
        after_when=moment(after.run.started_at),
        warnings=(*_warnings(before, after), *lenient_sentences(after.verdicts)),
        differences=(*differences(after.run, before.run), *conditions_apart(after.run, before.run)),
        pairs=pairs,
        common=named.common,
    )


def comparison_of_arms(data: RunData) -> Comparison | None:
    """The comparison of a duel's arms: before is the reference, after the candidate. None if the run is no duel."""
    data = published(data)
    duel = duel_of(data)
    if not duel:
        return None
    named, summaries = names(tuple(each for pair in duel for each in pair)), _summaries(data)
    of = {each.id: pair for pair in duel for each in pair}
    keys = [
        ((of[scenario_id][0].id, metric), (scenario_id, metric))
        for scenario_id, metric in summaries
        if scenario_id in of and of[scenario_id][1].id == scenario_id
    ]
    found = [(old, new) for old, new in keys if old in summaries]
    pairs = _ordered(_pair(replace(named.of(new[0]), arm=""), summaries[old], summaries[new]) for old, new in found)
    before, after = _distinct_names(*duel[0])
    return Comparison(
        title=f"{after} against {before}",
        sentence=f"The two arms of duel {data.run.id}. {_sentence(pairs, 'arms')}",
        before=before,
        after=after,
        before_when="the reference",
        after_when="the candidate",
        warnings=("These are the values of each arm. The duel's verdicts come from its pairs, which show more.",),
        differences=tuple(
            Fact(name=each.name, value=each.after, before=each.before)
            for each in arm_differences(duel[0][0].arm, duel[0][1].arm, data)
        ),
        pairs=pairs,
        common=named.common,
        heads=("Reference", "Candidate"),
        of="arms",
    )


def _distinct_names(before: Scenario, after: Scenario) -> tuple[str, str]:
    """Names of the two arms: their models and the settings that differ."""
    old, new = arm_parts(before), arm_parts(after)
    shared = set(old[1:]) & set(new[1:])
    names = [" · ".join((first, *(part for part in rest if part not in shared))) for first, *rest in (old, new)]
    return names[0], names[1]


UNKNOWN = "no interval"
"""The word for a pair of which a value has no interval, so that nobody knows whether they lie apart."""


def _sentence(pairs: tuple[Pair, ...], of: str, *, only_later: int = 0, only_earlier: int = 0) -> str:
    """A sentence with the numbers of pairs that do not overlap or have no interval, and of values of only one run."""
    apart = sum(pair.css != "same" for pair in pairs)
    figures = f"{count(len(pairs), 'figure')} that both {of} have"
    lie = f"{apart} {'lies' if apart == 1 else 'lie'}" if apart else "none lies"
    missing = sum(pair.word == UNKNOWN for pair in pairs)
    unknown = f"; {missing} {'has' if missing == 1 else 'have'} no interval" if missing else ""
    only = [f"{number} only in the {which}" for number, which in ((only_later, "later"), (only_earlier, "earlier"))
            if number]  # fmt: skip
    alone = f" Without a counterpart: {listed(only)}." if only else ""
    return f"Of the {figures}, {lie} apart beyond their intervals{unknown}.{alone}"


def duel_of(data: RunData) -> tuple[tuple[Scenario, Scenario], ...]:
    """Reference and candidate of each text, as a duel's verdicts name them; empty for any other run."""
    by_id = {each.id: each for each in data.run.scenarios}
    references = {(each.arm.id, request_parts(each)): each for each in data.run.scenarios}
    pairs: dict[str, tuple[Scenario, Scenario]] = {}
    for verdict in data.verdicts:
        candidate = by_id.get(verdict.scenario_id)
        reference = references.get((verdict.reference, request_parts(candidate))) if candidate else None
        if candidate and reference:
            pairs[candidate.id] = (reference, candidate)
    return tuple(pairs.values())


def compare_html(view: Comparison) -> str:
    """A self-contained HTML page that compares two runs or the arms of a duel."""
    from reports.pages.rendering import render

    return render("compare.html", compare=view, site=None)


def compare_markdown(view: Comparison) -> str:
    """A comparison as Markdown: the metrics whose intervals do not overlap, largest difference first."""
    apart = [pair for pair in view.pairs if pair.css != "same"]
    rows = [(pair.label.full, pair.metric, pair.before, pair.after, pair.change) for pair in apart[:MOST]]
    parts = [f"## {escape(view.title)}", escape(view.sentence), *(escape(text) for text in view.warnings)]
    if rows:
        parts.append(table(("Scenario", "Figure", *view.heads, "Difference"), rows))
    if len(apart) > MOST:
        parts.append(f"… and {len(apart) - MOST} more.")
    if view.differences:
        facts = [(fact.name, fact.before, fact.value) for fact in view.differences]
        parts.append(table(("What differs", *view.heads), facts))
    return "\n\n".join(parts) + "\n"


def compare_json(view: Comparison) -> str:
    """A comparison as JSON. Values are in the unit of their metric; `ratio` is after / before."""
    import json

    content = {
        "format": JSON_FORMAT,
        "of": view.of,
        "before": view.before,
        "after": view.after,
        "sentence": view.sentence,
        "warnings": list(view.warnings),
        "differences": [{"what": each.name, "before": each.before, "after": each.value} for each in view.differences],
        "values": [_pair_values(pair) for pair in view.pairs],
    }
    return json.dumps(content, indent=2) + "\n"


def _pair_values(pair: Pair) -> dict[str, object]:
    old, new = pair.values
    was, now = old.median or 0.0, new.median or 0.0
    return {
        "scenario_id": new.scenario_id,
        "metric": new.metric,
        "unit": metric_of(new.metric).unit,
        "before": _value(old),
        "after": _value(new),
        "ratio": now / was if was > 0 else None,
        "apart": pair.word,
    }


def _value(summary: Summary) -> dict[str, object]:
    interval = summary.interval
    return {
        "median": summary.median,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "n": summary.n,
    }


def _summaries(data: RunData) -> dict[Key, Summary]:
    return {(each.scenario_id, each.metric): each for each in data.summaries if each.median is not None}


def _pair(label: Label, old: Summary, new: Summary) -> Pair:
    was, now = old.median or 0.0, new.median or 0.0
    on = scale(new.metric, [was, now])
    ratio = now / was - 1 if was > 0 else None
    css, word = _apart(old, new)
    return Pair(
        label=label,
        metric=new.metric,
        before=on.full(was),
        after=on.full(now),
        change=NOTHING if ratio is None else percent(ratio),
        interval=f"{_interval(old)} / {_interval(new)}",
        css=css,
        word=word,
        sort="" if ratio is None else f"{ratio:.6g}",
        values=(old, new),
    )


def _apart(old: Summary, new: Summary) -> tuple[str, str]:
    """A CSS class and a word for two summaries. Intervals that do not overlap deserve a look; they are no verdict."""
    if old.definition != new.definition:
        return "none", "another definition"
    if old.interval is None or new.interval is None:
        return "same", UNKNOWN
    metric = metric_of(new.metric)
    # A stage's share is relative to its own total, so it is neither better nor worse.
    if metric.direction is Direction.NEITHER or (metric.share and not metric.gated):
        beyond = new.interval.low > old.interval.high or old.interval.low > new.interval.high
        return ("none", "apart") if beyond else ("same", "not apart")
    if new.interval.low <= old.interval.high and old.interval.low <= new.interval.high:
        return "same", "not apart"
    rose = new.interval.point > old.interval.point
    return ("worse", "worse") if rose == metric.lower_is_better else ("better", "better")


def _interval(summary: Summary) -> str:
    if summary.interval is None:
        return no_interval(summary.n) if lacks_interval(summary) else NOTHING
    low, high = summary.interval.low, summary.interval.high
    on, lower = scale(summary.metric, [high]), scale(summary.metric, [low])
    far = low and on.unit != lower.unit and abs(low) < abs(high) / 100
    return f"{lower.full(low) if far else on.bare(low)} to {on.full(high)}"


def _ordered(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Pairs in this order: not overlapping first, then gated metrics, then the largest difference, then the title."""
    found = list(pairs)
    metrics = in_order({pair.metric for pair in found})
    found.sort(
        key=lambda pair: (
            pair.css == "same",
            pair.css == "none",
            not metric_of(pair.metric).gated,
            -abs(float(pair.sort or 0)),
            metrics.index(pair.metric),
        )
    )
    return tuple(replace(pair, metric=metric_of(pair.metric).title) for pair in found)


def _other_setting(before: RunData, after: RunData) -> bool:
    """Whether the way of measuring differs, or the texts in a language of the scenarios that both runs have."""
    common = {each.id for each in before.run.scenarios} & {each.id for each in after.run.scenarios}
    languages = {text_language(each) for each in after.run.scenarios if each.id in common} or {DEFAULT}
    one, other = before.run.setting, after.run.setting
    return one.protocol != other.protocol or any(one.texts_in(each) != other.texts_in(each) for each in languages)


def _warnings(before: RunData, after: RunData) -> Iterable[str]:
    if before.run.machine.key != after.run.machine.key:
        yield "The two runs were made on different machines: their figures do not compare."
    if _other_setting(before, after):
        yield "The two runs differ in their texts or in the way of measuring: their figures do not compare."
    yield "This page shows two runs without verdicts: a difference is not yet a change."
