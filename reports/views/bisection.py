"""A bisection as it is shown: a sentence, a line for each place, Markdown and JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from harness.analysis.bisection.answer import as_estimate, pooled
from harness.core.comma_lists import listed
from harness.core.records.bisection import Bisection, BisectionAnswer, FoundStep
from harness.core.records.verdict import Estimate
from harness.core.redaction import published_record
from harness.plan.arm_spec import without_paths
from reports.text.format import change_of, change_words, count, level, percent, typeset
from reports.text.format import sentence as as_sentence
from reports.views.summary import escape, sentence, table

JSON_FORMAT: Final = 1
"""Version of the JSON. History: 1, the first."""
LEAST_PROBABILITY = 0.001
SIDES = ((-0.2, "beyond good"), (0.25, "like good"), (0.75, "between"), (1.2, "like bad"))
"""Largest share of the difference of good and bad → what a place with it is."""
ANSWERED = (BisectionAnswer.STEP, BisectionAnswer.RANGE, BisectionAnswer.SPREAD, BisectionAnswer.CAME_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLine:
    """One place. `change` and `interval` are its ratio to good, "" if it was not measured; `ratio` is the same.

    `probability` is that of a step between the place before and this one. `runs` are the runs that measured it.
    """

    number: int
    label: str
    detail: str
    change: str
    interval: str
    pairs: int
    state: str
    probability: str
    runs: tuple[str, ...]
    ratio: Estimate | None
    is_step: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectionView:
    """Everything that is shown of a bisection."""

    id: str
    title: str
    sentence: str
    more: tuple[str, ...]
    metric: str
    lines: tuple[PlaceLine, ...]
    css: str
    whole: Estimate | None


def bisection_view(found: Bisection) -> BisectionView:
    """The bisection in words, without the user's folders."""
    found = _published(found)
    good, bad = found.places[0].label, found.places[-1].label
    return BisectionView(
        id=found.id,
        title=f"{found.subject} from {good} to {bad}",
        sentence=_sentence(found),
        more=tuple(_more(found)),
        metric=found.metric,
        lines=tuple(_line(found, number) for number in range(len(found.places))),
        css=("better" if found.improved else "worse") if found.answer in ANSWERED else "unclear",
        whole=found.whole,
    )


def _published(found: Bisection) -> Bisection:
    """The bisection without the user's folders."""
    places = tuple(replace(place, spec=without_paths(place.spec)) for place in found.places)
    return published_record(replace(found, places=places))


def _sentence(found: Bisection) -> str:
    if found.answer in ANSWERED:
        return _answer(found)
    if found.answer is BisectionAnswer.NO_DIFFERENCE:
        return f"No difference between good and bad is shown: {typeset(found.reason)}."
    if not found.steps:
        return "Undecided: good and bad were not compared to the end."
    likely = [
        f"{_named(found, step.after)}, with a probability of {_probability(step.probability)}" for step in found.steps
    ]
    which = "step is" if len(likely) == 1 else "steps are"
    return f"Undecided. The most probable {which} {listed(likely)}. {as_sentence(found.reason)}".rstrip()


def _answer(found: Bisection) -> str:
    sure = f"with a probability of {_probability(found.confidence)}"
    first = found.steps[0]
    match found.answer:
        case BisectionAnswer.STEP:
            return f"{_named(found, first.after)} changed {found.metric} by {_change(found, first)}, {sure}."
        case BisectionAnswer.RANGE:
            return (
                f"{found.metric} changed by {_change(found, first)} between {_named(found, first.before)} and "
                f"{_named(found, first.after)}, {sure}. {_between(found, first)} cannot be measured."
            )
        case BisectionAnswer.SPREAD:
            return f"{found.metric} changed in {len(found.steps)} steps, {sure}: {_each(found)}."
    return f"{found.metric} changed in both directions, {sure}: {_each(found)}."


def _probability(value: float) -> str:
    """In per cent. What a model of the noise says of less than one in a thousand is not exact."""
    if value < LEAST_PROBABILITY:
        return f"below {level(LEAST_PROBABILITY)}"
    return level(min(round(value, 4), 1 - LEAST_PROBABILITY))


def _more(found: Bisection) -> list[str]:
    """What else there is to say: which way it went, what was skipped, and what would decide."""
    lines = []
    if found.whole is not None:
        words = change_words(found.metric, found.whole)
        lines.append(f"Bad against good: {found.metric} {words.point} ({words.interval}, {words.level}).")
    if found.improved:
        lines.append("Bad is better than good: this is an improvement, or the two were given the wrong way round.")
    skipped = [place for place in found.places if place.skipped]
    lines += [f"{place.label} is skipped: {place.skipped}" for place in skipped]
    if found.answer in ANSWERED:
        lines.append(
            f"The answer is wrong with a probability of at most {percent(found.error_rate, 0).removeprefix('+')}, "
            "if the noise is of the kind that its blocks show."
        )
    if found.advice and found.answer not in ANSWERED:
        lines.append(typeset(as_sentence(found.advice)))
    return lines


def _each(found: Bisection) -> str:
    return listed([f"{_named(found, step.after)} by {_change(found, step)}" for step in found.steps])


def _change(found: Bisection, step: FoundStep) -> str:
    words = change_words(found.metric, step.change)
    return f"{words.point} ({words.interval})"


def _named(found: Bisection, number: int) -> str:
    place = found.places[number]
    if place.spec == f"{found.subject}=={place.label}":
        return f"{found.subject} {place.label}"
    return f"{place.label} ({place.detail})" if place.detail else place.label


def _between(found: Bisection, step: FoundStep) -> str:
    return listed([place.label for place in found.places[step.before + 1 : step.after]])


def _line(found: Bisection, number: int) -> PlaceLine:
    place, ours = found.places[number], [each for each in found.probes if each.place == number]
    ratio = None
    if ours:
        launches = sum(each.launches for each in ours)
        pairs = sum(each.pairs for each in ours)
        ratio = as_estimate(pooled([each.ratio for each in ours]), n=pairs, launches=launches)
    elif number == len(found.places) - 1:
        ratio = found.whole
    words = change_words(found.metric, ratio) if ratio else None
    last = number == len(found.places) - 1
    return PlaceLine(
        number=number,
        label=place.label,
        detail=place.detail,
        change=words.point if words else "",
        interval=words.interval if words else "",
        pairs=sum(each.pairs for each in ours),
        state=_state(found, number, ratio),
        probability=_probability(found.changes[number - 1]) if number and found.changes else "",
        runs=(*([found.first_run] if last and found.first_run else []), *(each.run_id for each in ours)),
        ratio=ratio,
        is_step=found.answer in ANSWERED and any(step.after == number for step in found.steps),
    )


def _state(found: Bisection, number: int, ratio: Estimate | None) -> str:
    """Which of the two it is like, or on which side of both it lies."""
    if number == 0:
        return "good"
    if number == len(found.places) - 1:
        return "bad"
    if found.places[number].skipped:
        return "skipped"
    if ratio is None or found.whole is None:
        return "not measured"
    share = ratio.point / found.whole.point
    return next((word for highest, word in SIDES if share <= highest), "beyond bad")


def bisection_markdown(found: Bisection) -> str:
    """The answer and a table of the measured places. Ends with a newline."""
    view = bisection_view(found)
    rows = [
        (line.label, line.detail, f"{line.change} {line.interval}".strip(), line.probability, line.state)
        for line in shown_lines(view)
    ]
    return (
        "\n\n".join(
            [
                f"## Bisection of {escape(view.title)}",
                sentence(view.sentence),
                *(sentence(each) for each in view.more),
                table(("Version", "", f"{view.metric} against good", "Step here", ""), rows),
            ]
        )
        + "\n"
    )


MOST_LINES = 40


def shown_lines(view: BisectionView) -> Sequence[PlaceLine]:
    """The lines of a table: all of them, or of many only those that were measured, and their neighbours."""
    if len(view.lines) <= MOST_LINES:
        return view.lines
    kept = {line.number for line in view.lines if line.state != "not measured" or line.is_step}
    return [line for line in view.lines if kept & {line.number - 1, line.number, line.number + 1}]


def omitted(view: BisectionView) -> str:
    """How many places a table leaves out; "" for none."""
    left = len(view.lines) - len(shown_lines(view))
    return f"{count(left, 'place')} not measured and not shown" if left else ""


def bisection_json(found: Bisection) -> bytes:
    """The record with its sentence, one JSON object with a line feed. Changes are log-ratios of the metric's values."""
    content: dict[str, Any] = {
        **msgspec.to_builtins(_published(found)),
        "format": JSON_FORMAT,
        "sentence": bisection_view(found).sentence,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def percent_of(log_ratio: float) -> float:
    """A log-ratio in per cent."""
    return 100 * change_of(log_ratio)
