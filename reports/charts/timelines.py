"""Larger drawings: a trend over all runs, and the arrival and playback of audio in one repetition."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.core.records.repetition import Repetition, StageMark
from harness.metrics.playback import NS, play
from reports.charts.svg import Axis, axis, escape, opened, place, scale_line
from reports.text.format import Scale, count, number

if TYPE_CHECKING:
    from harness.analysis.stats.grouped import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event at one run of a trend."""

    index: int
    what: str
    css: str


_LEAST_STALL_S = 1e-6
_STAGES = ("phonemise", "inference", "postprocess")
_CHART = 96
_HEIGHTS = tuple(f"{tenth / 10:g}" for tenth in range(1001))
"""Every height of a point, from the top: a chart has 1,000 by 100 units."""
_BINS = 200
"""A longer series is drawn by the least and the greatest value of each of this many parts, which keeps extremes."""


def trend(
    values: "Sequence[float | None] | FloatArray",
    *,
    label: Callable[[float], str],
    events: Sequence[Event],
    finding: str,
    on: Scale | None = None,
    most: float = math.inf,
) -> Markup:
    """A line over all runs, oldest left, with events. The scale fits the values, and does not exceed `most`.

    None, or NaN, is a gap. `on` tells the page's script the values for tooltips.
    """
    import numpy as np

    every = np.array(values, dtype=float)
    known = every[~np.isnan(every)]
    if not len(known):
        return Markup('<p class="quiet">No run has a value of this metric.</p>')
    if len(known) == 1:
        return Markup('<p class="quiet">One value so far: no line yet.</p>')
    low, high = float(known.min()), float(known.max())
    room = 0.08 * ((high - low) or abs(high) or 1.0)
    low, high = low - room, max(high, min(high + room, most))
    opening = opened("trend", _CHART, finding)
    if on is not None:
        ends = f'data-low="{low * on.factor:.6g}" data-high="{high * on.factor:.6g}"'
        span = (len(values) - 1) / stretch_starts(len(values)).step
        opening = (
            f'{opening[:-1]} {ends} data-span="{span:g}" data-places="{on.decimals}" data-unit="{escape(on.unit)}">'
        )
    parts = [opening]
    for share in (0.0, 0.5, 1.0):
        y = _CHART * (1 - share) if 0 < share < 1 else (_CHART - 0.5 if share == 0 else 0.5)
        parts.append(f'<line class="g" x2="100%" y1="{y:g}" y2="{y:g}"/>')
        text = escape(label(low + share * (high - low)))
        parts.append(f'<text class="tick" x="-6" y="{y + 4:g}" text-anchor="end">{text}</text>')
    parts += [_event(event, len(values)) for event in events]
    parts.append(
        f'<svg width="100%" height="{_CHART}" viewBox="0 0 1000 100" preserveAspectRatio="none">'
        f'<path class="line" d="{_line(every, low, high)}"/></svg></svg>'
    )
    return Markup("".join(parts))  # noqa: S704 - made of numbers and escaped texts alone


def _event(event: Event, runs: int) -> str:
    at = place(100 * event.index / max(1, runs - 1))
    title = escape(event.what)
    return f'<line class="event {event.css}" x1="{at}" x2="{at}" y2="{_CHART}"><title>{title}</title></line>'


def stretch_starts(runs: int) -> range:
    """The indices of the runs at which the parts of a line over `runs` runs begin."""
    return range(0, runs, max(1, runs // _BINS))


@cache
def _places(runs: int) -> tuple[str, ...]:
    """The horizontal position of each part of a line over `runs` runs, 0 to 1000."""
    across = 1000 / max(1, runs - 1)
    return tuple(f"{round(start * across, 1):g}" for start in stretch_starts(runs))


def _line(values: "FloatArray", low: float, high: float) -> str:
    """The path over `values`, all between `low` and `high`. A part of several runs is a vertical line.

    A part without values interrupts the path.
    """
    import numpy as np

    starts = np.arange(0, len(values), stretch_starts(len(values)).step)
    ends = [np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)]  # both pass over NaN
    gaps = np.isnan(ends[0])
    tenths = [np.rint(1000 * (high - end) / (high - low), where=~gaps, out=np.zeros(len(starts))) for end in ends]
    bottoms, tops = (end.astype(int).tolist() for end in tenths)
    heights = _HEIGHTS
    if len(starts) == len(values):
        points = [f"{x} {heights[top]}" for x, top in zip(_places(len(values)), tops, strict=True)]
    else:
        spans = zip(_places(len(values)), bottoms, tops, strict=True)
        points = [f"{x} {heights[bottom]}V{heights[top]}" for x, bottom, top in spans]
    edges = np.flatnonzero(np.diff(gaps, prepend=True, append=True)).tolist()  # begin and end of each stroke
    return "".join("M" + "L".join(points[begin:end]) for begin, end in zip(edges[::2], edges[1::2], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The lanes of one repetition on one axis of seconds."""

    axis: Markup
    arrival: Markup
    playback: Markup
    stages: Markup
    finding: str


def timeline(repetition: Repetition) -> Timeline | None:
    """The arrival of chunks, playback without a pre-buffer with its stalls, and the stages; None without audio."""
    if repetition.audio is None or not repetition.chunks:
        return None
    played = play(repetition.chunks, repetition.audio.sample_rate)
    if not played.starts:
        return None
    ticks = NS * played.sample_rate
    audible = [
        (start / ticks, start / ticks + chunk.frames / played.sample_rate)
        for start, chunk in zip(played.starts, played.chunks, strict=True)
    ]
    silences = [(before[1], after[0]) for before, after in pairwise(audible) if after[0] - before[1] > _LEAST_STALL_S]
    last = repetition.end_ns / NS
    end = max(audible[-1][1], last)
    on = axis(0.0, end * 1.01, lambda seconds: f"{number(seconds, 1 if end < 10 else 0)} s")
    times, stalled = count(played.stalls.count, "time"), number(played.stalls.seconds, 2)
    stall = f"it then stops {times}, {stalled} s in all" if played.stalls.count else "nothing stalls"
    boxes = [(start, stop, "sound", "sound") for start, stop in audible]
    boxes += [(start, stop, "stall", "stall") for start, stop in silences]
    return Timeline(
        axis=scale_line(on),
        arrival=_ticks(on, [chunk.at_ns / NS for chunk in played.chunks]),
        playback=_boxes(on, boxes, "playback"),
        stages=_boxes(on, [_stage(mark) for mark in repetition.stages], "stages"),
        finding=f"Sound is there after {number(audible[0][0], 2)} s; {stall}; all audio after {number(last, 2)} s.",
    )


def _stage(mark: StageMark) -> tuple[float, float, str, str]:
    css = f"stage-{mark.stage}" if mark.stage in _STAGES else "stage"
    return mark.start_ns / NS, mark.end_ns / NS, css, mark.stage


def _ticks(on: Axis, moments: Sequence[float]) -> Markup:
    marks = "".join(
        f'<use href="#m3" x="{place(on.at(at))}" y="9"><title>chunk {index} after {number(at, 3)} s</title></use>'
        for index, at in enumerate(moments, 1)
    )
    return Markup(f"{opened('strip', 18, 'arrival of chunks')}{marks}</svg>")  # noqa: S704 - numbers alone


def _boxes(on: Axis, boxes: Sequence[tuple[float, float, str, str]], what: str) -> Markup:
    drawn = "".join(
        f'<rect class="{escape(css)}" x="{place(on.at(start))}" width="{place(max(0.15, on.at(stop) - on.at(start)))}"'
        f' y="2" height="14"><title>{escape(title)}: {number(start, 3)} to {number(stop, 3)} s</title></rect>'
        for start, stop, css, title in boxes
    )
    return Markup(f"{opened('boxes', 18, what)}{drawn}</svg>")  # noqa: S704 - numbers and escaped texts
