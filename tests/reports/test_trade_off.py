"""Speed against sound: where each variant stands, that labels never overlap, and the same as a table."""

import math
import re
from dataclasses import replace
from itertools import combinations, pairwise

import pytest

from harness.analysis.advice.frontier import ORIGINAL, Standing, dominated
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.core.records.speech import SpeechKind, SpeechSheet
from harness.metrics.derive import RunValues
from reports.charts.svg import Range
from reports.charts.trade_off import Point, draw
from reports.views.speech import Speech
from reports.views.trade_off import TradeOff, trade_off

from .conftest import HOSTILE
from .spoken import spoken_run, verdict
from .test_pages import Page

VARIANTS = {"kokoro-v1.0-int8": 0.13, "kokoro-v1.0-dq-u8": 0.40}


@pytest.fixture(scope="module")
def data() -> RunData:
    return spoken_run(VARIANTS)


def found_in(data: RunData, sheet: SpeechSheet | None = None) -> TradeOff:
    found = trade_off(data, RunValues(data), Speech(data, sheet))
    assert found is not None
    return found


def test_a_variant_stands_at_its_change_of_latency_and_its_difference_of_rating(data: RunData) -> None:
    found = found_in(data)
    original, int8, u8 = found.lines
    assert original.name == "kokoro-v1.0-dq (the original)"
    assert (int8.letter, int8.name, u8.letter, u8.name) == ("A", "kokoro-v1.0-int8", "B", "kokoro-v1.0-dq-u8")
    assert int8.quality == "\u22120.12\u202fMOS"
    assert int8.texts == "\u22120.13\u202fMOS to \u22120.11\u202fMOS over 2 texts"
    assert u8.quality == "\u22120.39\u202fMOS"
    # What is planted is drawn anew for each block: the median of pairs lies within its interval.
    ends = [float(each.replace("\u2212", "-")) for each in re.findall(r"[+\u2212][\d.]+", int8.interval)]
    assert ends[0] < float(int8.latency.rstrip("\u202f%").replace("\u2212", "-")) < ends[1]


def times_of_the_original(data: RunData, factor: int = 1) -> RunData:
    """The run with each variant's times in each block as the original's, or so many times as long."""
    models = [each.arm.model for each in data.run.scenarios]
    dq = {each.request: each.id for each in data.run.scenarios if each.arm.model == models[0]}
    request = {each.id: each.request for each in data.run.scenarios}
    times = {(each.scenario_id, each.launch, each.block): each for each in data.repetitions}
    slowed = tuple(
        each
        if each.scenario_id in dq.values()
        else replace(
            each,
            end_ns=factor * times[dq[request[each.scenario_id]], each.launch, each.block].end_ns,
            chunks=times[dq[request[each.scenario_id]], each.launch, each.block].chunks,
        )
        for each in data.repetitions
        if (dq[request[each.scenario_id]], each.launch, each.block) in times
    )
    return replace(data, repetitions=slowed)


def test_twice_as_slow_in_every_block_is_a_change_of_100_per_cent(data: RunData) -> None:
    found = found_in(times_of_the_original(data, factor=2))
    assert [each.latency for each in found.lines] == ["0", "+100.0\u202f%", "+100.0\u202f%"]


def test_what_is_no_original_is_called_the_reference(data: RunData) -> None:
    unrelated = tuple(
        replace(each, arm=replace(each.arm, model=replace(each.arm.model, parent="", origin="user")))
        for each in data.run.scenarios
        if each.arm.model
    )
    found = found_in(replace(data, run=replace(data.run, scenarios=unrelated)))
    assert found.lines[0].name.endswith("(the reference)")
    assert ">reference<tspan" in found.drawing.wide


def test_verdicts_stand_in_the_picture_and_in_the_table(data: RunData) -> None:
    kinds = {"kokoro-v1.0-int8": SpeechKind.EQUIVALENT, "kokoro-v1.0-dq-u8": SpeechKind.BROKEN}
    verdicts = tuple(
        verdict(each, kinds[each.arm.model.name])
        for each in data.run.scenarios
        if each.arm.model and each.arm.model.name in kinds
    )
    found = found_in(data, SpeechSheet(verdicts=verdicts))
    assert [each.badge and each.badge.word for each in found.lines] == [None, "equivalent", "broken"]
    assert '<tspan dx="4" class="t-failed">✕</tspan>' in found.drawing.wide
    assert '<tspan dx="4" class="t-same">=</tspan>' in found.drawing.narrow


def test_a_run_without_ratings_or_without_an_original_has_no_picture(data: RunData) -> None:
    unrated = replace(data, summaries=tuple(each for each in data.summaries if each.metric != "dnsmos_overall"))
    assert trade_off(unrated, RunValues(unrated), Speech(unrated)) is None
    streams = tuple(replace(each, mode=Mode.STREAM) for each in data.run.scenarios)
    streamed = replace(data, run=replace(data.run, scenarios=streams))
    assert trade_off(streamed, RunValues(streamed), Speech(streamed)) is None


def points(number: int, *, spread: float) -> list[Point]:
    """Variants that all but coincide, as quantised ones of one recipe do, or that are spread."""
    return [
        Point(
            letter=chr(65 + index),
            name=f"variant-{index} with a name that is much too long for any margin",
            glyph="=",
            css="same",
            x=Range(point=-0.16 + spread * index, low=-0.18 + spread * index, high=-0.14 + spread * index),
            y=-0.1 - spread * index,
            dots=((-0.1 - spread * index, "one text"),),
            words="the variant",
        )
        for index in range(number)
    ]


@pytest.mark.parametrize("number", [1, 2, 5, 12])
@pytest.mark.parametrize("spread", [0.0, 0.0005, 0.02])
@pytest.mark.parametrize("narrow", [False, True])
def test_no_two_labels_overlap_and_none_leaves_the_picture(number: int, spread: float, *, narrow: bool) -> None:
    drawing = draw(
        points(number, spread=spread), original="the original", role="original", finding="found", narrow=narrow
    )
    size = re.search(r'viewBox="0 0 (\d+) (\d+)"', drawing)
    assert size is not None
    width, height = map(float, size.groups())
    margin = [tuple(map(float, each)) for each in re.findall(r'class="who" x="([\d.]+)" y="([\d.]+)"', drawing)]
    assert len(margin) == number + 1
    heights = sorted(y for _, y in margin)
    assert all(after - before >= 14 for before, after in pairwise(heights))
    assert 10 < heights[0] < heights[-1] < height
    longest = 0 if narrow else max(len(each) for each in re.findall(r'class="name">([^<]*)<', drawing))
    assert max(x for x, _ in margin) + 7 * longest < width
    beside = [tuple(map(float, each)) for each in re.findall(r'class="letter" x="([\d.]+)" y="([\d.-]+)"', drawing)]
    assert beside or number > 5
    assert all(math.dist(one, other) >= 12 for one, other in combinations(beside, 2))


def test_no_two_ticks_of_an_axis_read_alike() -> None:
    for spread in (0.0, 0.005, 0.02, 0.1):
        drawing = draw(points(5, spread=spread), original="o", role="original", finding="found", narrow=False)
        ticks = re.findall(r'class="tick[^"]*" [^>]*text-anchor="middle">([^<]*)<', drawing)
        assert len(ticks) > 3
        assert len(set(ticks)) == len(ticks)
        assert not {"\u22122\u202f%", "+8\u202f%"} <= set(ticks), "2.5 and 7.5 are not rounded"


def test_a_hostile_name_is_shown_as_text() -> None:
    (point,) = points(1, spread=0)
    drawing = draw(
        [replace(point, name=HOSTILE, words=HOSTILE)], original=HOSTILE, role="original", finding=HOSTILE, narrow=False
    )
    page = Page(str(drawing))
    assert page.open == []
    assert not page.all("script")
    assert not page.all("img")
    assert "\u202e" not in drawing


def standing(latency: float, quality: float, memory: float | None, *, fit: bool = True) -> Standing:
    return Standing(latency=latency, low=latency - 0.02, high=latency + 0.02, quality=quality, memory=memory, fit=fit)


def test_what_is_worse_in_every_respect_is_dominated() -> None:
    found = dominated(
        {
            "fast": standing(-0.30, -0.10, -0.40),
            "slow": standing(-0.10, -0.12, -0.40),  # as good in sound and memory as the fast one, but slower
            "small": standing(-0.10, -0.10, -0.60),
            "same": standing(-0.305, -0.12, -0.41),  # not told apart
            "beautiful": standing(+0.20, +0.20, +0.10),
            "silent": standing(-0.60, -0.90, -0.70, fit=False),  # never chosen, so it beats nothing
            "unknown": standing(-0.10, -0.10, None),
        }
    )
    assert found == {"slow": "same", "unknown": "same"}
    assert dominated({"": ORIGINAL, "worse": standing(0.1, -0.2, 0.0)}) == {"worse": ""}


def test_the_frontier_is_drawn_and_what_is_dominated_is_named(data: RunData) -> None:
    """The variants of the made run are slower than their original: memory and ratings decide."""
    peaks = {"kokoro-v1.0-dq": 600e6, "kokoro-v1.0-int8": 300e6, "kokoro-v1.0-dq-u8": 900e6}
    like = next(each for each in data.summaries if each.metric == "latency")
    kept = tuple(each for each in data.summaries if each.metric != "rss_peak")
    memory = tuple(
        replace(like, scenario_id=each.id, metric="rss_peak", median=peaks[each.arm.model.name], interval=None)
        for each in data.run.scenarios
        if each.arm.model
    )
    found = found_in(replace(data, summaries=(*kept, *memory)))
    original, int8, u8 = found.lines
    assert (original.memory, int8.memory, u8.memory) == ("0", "\u221250.0\u202f%", "+50.0\u202f%")
    assert (original.standing, int8.standing) == ("on the frontier", "on the frontier")
    assert u8.standing == "dominated by kokoro-v1.0-dq"
    assert 'class="frontier"' not in found.drawing.wide, "a line needs two"
    kinds = {"kokoro-v1.0-int8": SpeechKind.BROKEN, "kokoro-v1.0-dq-u8": SpeechKind.EQUIVALENT}
    verdicts = tuple(
        verdict(each, kinds[each.arm.model.name])
        for each in data.run.scenarios
        if each.arm.model and each.arm.model.name in kinds
    )
    broken = found_in(replace(data, summaries=(*kept, *memory)), SpeechSheet(verdicts=verdicts))
    assert broken.lines[1].standing == "not to be chosen: its speech is not the original's"
    assert broken.lines[2].standing == "dominated by kokoro-v1.0-dq"


def test_without_intervals_nothing_is_called_dominated(data: RunData) -> None:
    first = [each for each in data.repetitions if each.launch == 0 and each.block <= data.blocks[0].block]
    found = found_in(replace(data, repetitions=tuple(first)))
    assert [each.standing for each in found.lines[1:]] == ["too few pairs to tell"] * 2


def test_the_frontier_is_a_line_through_its_variants() -> None:
    some = [replace(each, frontier=True, weight=index) for index, each in enumerate(points(3, spread=0.02))]
    drawing = draw(some, original="o", role="original", finding="found", narrow=False)
    (line,) = re.findall(r'<path class="frontier" d="M([^"]*)"', drawing)
    xs = [float(pair.split()[0]) for pair in line.split("L")]
    assert len(xs) == 3
    assert xs == sorted(xs)
    scales = [float(each) for each in re.findall(r"scale\(([\d.]+)\)", drawing)]
    assert scales == sorted(scales)
    assert scales[0] < scales[-1]
