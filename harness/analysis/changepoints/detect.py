"""History: the runs at which a metric stepped to another level.

For every split of the series the two means are compared, and the largest difference in units of its own standard error
is the statistic (`step_scan`). Its distribution under "nothing changed" comes from series rebuilt out of this one's own
noise: the residuals' innovations drawn anew and run through an AR(1) of the residuals' own correlation (a sieve
bootstrap, Bühlmann 1997), with everything estimated again on each. So neither heavy tails, nor nights that resemble
their neighbours, nor the hundred splits that were tried raise the rate of false alarms. Steps beyond the first are
sought on both sides of it (binary segmentation, Scott and Knott 1974); where no single step is found, a step and its
return are sought together, since each hides the other.

Many series are searched at once, because the cost of one is that of calling NumPy; each is found to be as if alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.analysis.changepoints.limits import RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from harness.analysis.changepoints.bootstrap import Found
    from harness.analysis.stats.grouped import FloatArray

ALPHA = 0.04
"""Probability of any alert in a series without a step, for one series watched alone."""

SHORTEST = 10
"""Runs without which no step is sought."""

WINDOW = 5
"""Runs of the running median that an outlier is measured from; it follows a step at once and an outlier never."""

CLIP = 4.0
"""Robust standard deviations from the running median beyond which a run counts as no farther away."""


BUMP_PORTION = 0.2
"""The part of alpha that the search for a step with its return may use; single steps have the rest."""

STRICTEST = 1.01 / (RESAMPLES + 1) / (1 - BUMP_PORTION)
"""The smallest alpha that the detector can tell from 0: what sharing one alpha among many series must not go below."""

INTERVAL_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """One step. `index` is the first run at the new level; `size` its log-ratio, `error` the size's standard error.

    `before` and `after` count the runs on either side that the two levels were taken from; `p_value` is that of the
    whole search, not of this split alone.
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

    `alpha` is the probability of any alert in a series without a step; divide it by the number of series to hold it
    for all of them together. A smaller step than `least`, a log-ratio, is none; a series that varies less is not
    searched. The result depends on nothing but the arguments.
    """
    (found,) = change_points_of([log_medians], alpha=alpha, least=least)
    return found


def change_points_of(
    series: Sequence[Sequence[float]], *, alpha: float = ALPHA, least: float = 0.0
) -> list[tuple[ChangePoint, ...]]:
    """The steps of each of many series, of whatever lengths, as `change_points` finds them."""
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


def unreported(
    changes: Sequence[ChangePoint], reported: Sequence[int], *, slack: int = WINDOW
) -> tuple[ChangePoint, ...]:
    """The changes that were not reported before: one alert per step, although its place may move by a few runs."""
    return tuple(change for change in changes if all(abs(change.index - old) > slack for old in reported))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The runs of a line from `start` to before `stop`, in which a step is sought."""

    line: int
    start: int
    stop: int


def _alike(parts: Iterable[_Part], smooth: Sequence[FloatArray]) -> Iterator[list[_Part]]:
    """The parts that can be searched at once: of one length, and all or none at the end of the history."""
    found: dict[tuple[int, bool], list[_Part]] = {}
    for part in parts:
        at_end = part.stop == len(smooth[part.line])
        found.setdefault((part.stop - part.start, at_end), []).append(part)
    yield from found.values()


def _search(parts: Sequence[_Part], smooth: Sequence[FloatArray], *, alpha: float) -> list[tuple[_Part, Found]]:
    """The parts in which a step is found, with the best."""
    import numpy as np

    from harness.analysis.changepoints.bootstrap import against_bootstrap
    from harness.analysis.changepoints.noise import around_steps
    from harness.analysis.changepoints.scan import AFTER_INSIDE, BEFORE, bumps, steps

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
    """Each series without its outliers; those of one length are worked on together."""
    import numpy as np

    alike: dict[int, list[int]] = {}
    for line, values in enumerate(series):
        alike.setdefault(len(values), []).append(line)
    smooth: dict[int, FloatArray] = {}
    for lines in alike.values():
        smooth |= zip(lines, without_outliers(np.array([series[line] for line in lines], dtype=float)), strict=True)
    return [smooth[line] for line in range(len(series))]


def without_outliers(values: FloatArray) -> FloatArray:
    """Series along the last axis, with single runs drawn in to `CLIP` robust deviations from the running median."""
    import numpy as np

    if values.shape[-1] < WINDOW:
        return values
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=-1)
    edge = WINDOW // 2
    middle = np.sort(windows, axis=-1)[..., edge]
    level = np.pad(middle, [(0, 0)] * (values.ndim - 1) + [(edge, edge)], mode="edge")
    distance = values - level
    # 1.25: a value lies nearer to a median of five that it is one of than to the true level (by simulation).
    limit = CLIP * 1.25 * 1.4826 * np.median(np.abs(distance), axis=-1, keepdims=True)
    smooth: FloatArray = np.where(limit > 0, level + np.clip(distance, -limit, limit), values)
    return smooth


def _changes(values: FloatArray, splits: dict[int, float]) -> Iterator[ChangePoint]:
    edges = [0, *sorted(splits), len(values)]
    for start, split, stop in zip(edges, edges[1:], edges[2:], strict=False):
        yield _change(values[start:stop], split - start, offset=start, p_value=splits[split])


def _change(part: FloatArray, split: int, *, offset: int, p_value: float) -> ChangePoint:
    """The step at `split` of `part`, which holds the runs at the two levels and no others."""
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
