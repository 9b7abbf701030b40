"""Two runs side by side: as a page, as HTML, as Markdown. Shows differences; decides nothing, the gate does that."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.records.run import RunData
from harness.records.verdict import Summary
from reports.facts import Fact, differences
from reports.naming import Key, Label, names
from reports.summary import escape, table
from reports.words import NOTHING, count, in_order, metric_of, moment, percent, scale

MOST = 20
"""Lines of a comparison in Markdown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One figure in both runs. `apart` says whether the two intervals have nothing in common."""

    label: Label
    metric: str
    before: str
    after: str
    change: str
    interval: str
    css: str
    word: str
    sort: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs."""

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


def comparison(before: RunData, after: RunData) -> Comparison:
    """What is different in `after`: the largest differences whose intervals do not meet come first."""
    named = names(tuple({each.id: each for each in (*before.run.scenarios, *after.run.scenarios)}.values()))
    old, new = _summaries(before), _summaries(after)
    metrics = in_order({metric for _, metric in (*old, *new)})
    shared = [key for key in new if key in old]
    pairs = sorted(
        (_pair(named.of(key[0]), old[key], new[key]) for key in shared),
        key=lambda pair: (pair.css == "same", -abs(float(pair.sort or 0)), metrics.index(pair.metric)),
    )
    apart = sum(pair.css != "same" for pair in pairs)
    return Comparison(
        title=f"{after.run.id} against {before.run.id}",
        sentence=(
            f"Of {count(len(pairs), 'figure')} in both runs, {apart} lie apart beyond their intervals; "
            f"{len(new) - len(shared)} are only in the later run and {len(old) - len(shared)} only in the earlier."
        ),
        before=before.run.id,
        after=after.run.id,
        before_when=moment(before.run.started_at),
        after_when=moment(after.run.started_at),
        warnings=tuple(_warnings(before, after)),
        differences=tuple(differences(after.run, before.run)),
        pairs=tuple(_titled(pair) for pair in pairs),
        common=named.common,
    )


def compare_html(before: RunData, after: RunData) -> str:
    """One self-contained page on two runs."""
    from reports.rendering import render

    return render("compare.html", compare=comparison(before, after), site=None)


def compare_markdown(before: RunData, after: RunData) -> str:
    """Two runs as Markdown: the figures whose intervals do not meet, largest difference first."""
    view = comparison(before, after)
    apart = [pair for pair in view.pairs if pair.css != "same"]
    rows = [(pair.label.full, pair.metric, pair.before, pair.after, pair.change) for pair in apart[:MOST]]
    parts = [f"## {escape(view.title)}", escape(view.sentence), *(escape(text) for text in view.warnings)]
    if rows:
        parts.append(table(("Scenario", "Figure", "Before", "After", "Difference"), rows))
    if len(apart) > MOST:
        parts.append(f"… and {len(apart) - MOST} more.")
    if view.differences:
        facts = [(fact.name, fact.before, fact.value) for fact in view.differences]
        parts.append(table(("What differs", "Before", "After"), facts))
    return "\n\n".join(parts) + "\n"


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
    )


def _apart(old: Summary, new: Summary) -> tuple[str, str]:
    """A colour and a word: two intervals with nothing in common are worth a look, no more."""
    if old.definition != new.definition:
        return "none", "another definition"
    if old.interval is None or new.interval is None:
        return "same", "no interval"
    if new.interval.low <= old.interval.high and old.interval.low <= new.interval.high:
        return "same", "within the intervals"
    rose = new.interval.point > old.interval.point
    return ("worse", "worse") if rose == metric_of(new.metric).lower_is_better else ("better", "better")


def _interval(summary: Summary) -> str:
    if summary.interval is None:
        return NOTHING
    on = scale(summary.metric, [summary.interval.high])
    return f"{on.bare(summary.interval.low)} to {on.full(summary.interval.high)}"


def _titled(pair: Pair) -> Pair:
    from dataclasses import replace

    return replace(pair, metric=metric_of(pair.metric).title)


def _warnings(before: RunData, after: RunData) -> Iterable[str]:
    if before.run.machine.key != after.run.machine.key:
        yield "The two runs were made on different machines: their figures do not compare."
    if before.run.setting != after.run.setting:
        yield "The two runs differ in their texts or in the way of measuring: their figures do not compare."
    yield "This page shows two runs as they are. Whether a difference is a change is for a verdict to say."
