"""Change points: the runs at which a metric stepped to another level.

The statistic is the largest difference of means over all splits of the series, in units of its standard error (`scan`).
Its null distribution comes from a sieve bootstrap (Bühlmann 1997): the residuals' innovations are resampled and passed
through an AR(1) with the residuals' own correlation, and everything is estimated again on each resampled series. So
heavy tails, correlated nights and the hundred splits do not raise the rate of false alarms. Further steps are searched
on both sides of the first (binary segmentation, Scott and Knott 1974). If no single step is found, a step and its
return are searched together, because each hides the other.

Many series are searched at once, because NumPy's call overhead dominates for one. The result for each series does not
depend on the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.analysis.changepoints.limits import BEFORE, RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.analysis.changepoints.bootstrap import Found
    from harness.analysis.stats.grouped import FloatArray

ALPHA = 0.04
"""Probability of any alert in a series without a step, for a single series."""

SHORTEST = 10
"""A series needs at least this many runs for a search."""

WINDOW = 5
"""Width (in runs) of the running median that outliers are measured from; it follows steps and ignores outliers."""

CLIP = 4.0
"""Runs farther than this many robust standard deviations from the running median are clipped to that distance."""


BUMP_PORTION = 0.2
"""The fraction of alpha for the search for a step with its return; single steps have the rest."""

STRICTEST = 1.01 / (RESAMPLES + 1) / (1 - BUMP_PORTION)
"""The smallest usable alpha: one alpha shared by many series must not fall below it."""

INTERVAL_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """One step. `index` is the first run at the new level; `size` its log-ratio, `error` the size's standard error.

    `before` and `after` are the numbers of runs that the two levels were computed from. `p_value` refers to the whole
    search, not to this split alone.
    """

    index: int
    size: float
    error: float
    p_value: float
    before: int
    after: int

    @property
    def low(self) -> float:
        """The lower end of the size's interval at `INTERVAL_LEVEL`."""
        return self.size - self._half

    @property
    def high(self) -> float:
        """The upper end of the size's interval at `INTERVAL_LEVEL`."""
        return self.size + self._half

    @property
    def _half(self) -> float:
        from harness.analysis.stats.interval import quantile

        return quantile((1 - INTERVAL_LEVEL) / 2, max(self.before + self.after - 2.0, 1.0)) * self.error


def change_points(log_medians: Sequence[float], *, alpha: float = ALPHA, least: float = 0.0) -> tuple[ChangePoint, ...]:
    """The steps of a series of runs' log-medians (oldest first), each once, in order.

    `alpha` is the probability of any alert in a series without a step; divide it by the number of series for a joint
    level. Steps smaller than `least` (a log-ratio) are dropped; a series that varies less is not searched. The result
    depends only on the arguments.
    """
    (found,) = change_points_of([log_medians], alpha=alpha, least=least)
    return found


def change_points_of(
    series: Sequence[Sequence[float]], *, alpha: float = ALPHA, least: float = 0.0
) -> list[tuple[ChangePoint, ...]]:
    """The steps of each of many series of any lengths, as `change_points` finds them."""
    import numpy as np

    smooth = _all_without_outliers(series)
    worth = [line for line, values in enumerate(smooth) if len(values) >= SHORTEST and np.ptp(values) >= least]
    splits: dict[int, dict[int, float]] = {line: {} for line in worth}
    parts = [_Part(line=line, start=0, stop=len(smooth[line])) for line in worth]
    while parts:
        further: list[_Part] = []
        for some in _alike(parts, smooth):
            found = _search(some, smooth, alpha=alpha)
            for part, hit in found:
                inside = [part.start + edge for edge in hit.edges if part.start + edge < part.stop]
                splits[part.line] |= dict.fromkeys(inside, hit.p_value)
                edges = pairwise([part.start, *inside, part.stop])
                further += [_Part(line=part.line, start=left, stop=right) for left, right in edges]
        parts = further
    return [
        tuple(each for each in _changes(smooth[line], splits.get(line, {})) if abs(each.size) >= least)
        for line in range(len(series))
    ]


def unreported(changes: Sequence[ChangePoint], reported: Sequence[int]) -> tuple[ChangePoint, ...]:
    """The changes that were not reported before. A step whose place moved by up to `WINDOW` runs counts as reported."""
    return tuple(change for change in changes if all(abs(change.index - old) > WINDOW for old in reported))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The runs `start` … `stop` − 1 of a series, to search for a step."""

    line: int
    start: int
    stop: int


def _alike(parts: Iterable[_Part], smooth: Sequence[FloatArray]) -> Iterator[list[_Part]]:
    """Group the parts that can be searched together: same length, and all or none at the end of the history."""
    found: dict[tuple[int, bool], list[_Part]] = {}
    for part in parts:
        at_end = part.stop == len(smooth[part.line])
        found.setdefault((part.stop - part.start, at_end), []).append(part)
    yield from found.values()


def _search(parts: Sequence[_Part], smooth: Sequence[FloatArray], *, alpha: float) -> list[tuple[_Part, Found]]:
    """The parts in which a step was found, each with its best place."""
    import numpy as np

    from harness.analysis.changepoints.bootstrap import against_bootstrap
    from harness.analysis.changepoints.noise import around_steps
    from harness.analysis.changepoints.scan import AFTER_INSIDE, bumps, steps

    runs, at_end = parts[0].stop - parts[0].start, parts[0].stop == len(smooth[parts[0].line])
    last = 1 if at_end else AFTER_INSIDE
    if runs < max(SHORTEST, BEFORE + last):
        return []
    values = np.stack([smooth[part.line][part.start : part.stop] for part in parts])
    noise, several = around_steps(values)
    rows = list(range(len(parts)))
    hits: list[tuple[_Part, Found]] = []
    for shapes, portion in ((steps(runs, last=last), 1 - BUMP_PORTION), (bumps(runs), BUMP_PORTION)):
        if not len(shapes.starts) or not rows:
            continue
        share = alpha * portion
        found = against_bootstrap(values[rows], shapes, around=(noise.at(rows), several[rows]), alpha=share)
        hits += [(parts[row], each) for row, each in zip(rows, found, strict=True) if each.p_value <= share]
        rows = [row for row, each in zip(rows, found, strict=True) if each.p_value > share]
    return hits


def _all_without_outliers(series: Sequence[Sequence[float]]) -> list[FloatArray]:
    """Each series without its outliers; series of one length are processed together."""
    import numpy as np

    alike: dict[int, list[int]] = {}
    for line, values in enumerate(series):
        alike.setdefault(len(values), []).append(line)
    smooth: dict[int, FloatArray] = {}
    for lines in alike.values():
        smooth |= zip(lines, without_outliers(np.array([series[line] for line in lines], dtype=float)), strict=True)
    return [smooth[line] for line in range(len(series))]


def without_outliers(values: FloatArray) -> FloatArray:
    """Series along the last axis, with single runs clipped at `CLIP` robust deviations from the running median."""
    import numpy as np

    if values.shape[-1] < WINDOW:
        return values
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=-1)
    edge = WINDOW // 2
    middle = np.sort(windows, axis=-1)[..., edge]
    level = np.pad(middle, [(0, 0)] * (values.ndim - 1) + [(edge, edge)], mode="edge")
    distance = values - level
    # 1.25: a value lies nearer to a median of five that includes it than to the true level (by simulation).
    limit = CLIP * 1.25 * 1.4826 * np.median(np.abs(distance), axis=-1, keepdims=True)
    smooth: FloatArray = np.where(limit > 0, level + np.clip(distance, -limit, limit), values)
    return smooth


def _changes(values: FloatArray, splits: dict[int, float]) -> Iterator[ChangePoint]:
    edges = [0, *sorted(splits), len(values)]
    for start, split, stop in zip(edges, edges[1:], edges[2:], strict=False):
        yield _change(values[start:stop], split - start, offset=start, p_value=splits[split])


def _change(part: FloatArray, split: int, *, offset: int, p_value: float) -> ChangePoint:
    """The step at `split` of `part`, which contains only the runs at the two levels."""
    import numpy as np

    from harness.analysis.changepoints.noise import beside
    from harness.analysis.changepoints.scan import Shapes

    runs = len(part)
    shape = Shapes(starts=np.array([split]), stops=np.array([runs]), runs=runs)
    noise = beside(part[None], shape.starts, shape.stops)
    return ChangePoint(
        index=offset + split,
        size=float(part[split:].mean() - part[:split].mean()),
        error=float(noise.sd[0]) * math.sqrt(shape.variance(noise.rho[:, None])[0, 0]),
        p_value=p_value,
        before=split,
        after=runs - split,
    )
