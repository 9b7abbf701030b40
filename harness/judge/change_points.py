"""History: the runs at which a metric stepped to another level.

For every split of the series the two means are compared, and the largest difference in units of its own standard error
is the statistic (`step_scan`). Its distribution under "nothing changed" comes from series rebuilt out of this one's own
noise: the residuals' innovations drawn anew and run through an AR(1) of the residuals' own correlation (a sieve
bootstrap, Bühlmann 1997), with everything estimated again on each. So neither heavy tails, nor nights that resemble
their neighbours, nor the hundred splits that were tried raise the rate of false alarms. Steps beyond the first are
sought on both sides of it (binary segmentation, Scott and Knott 1974); where no single step is found, a step and its
return are sought together, since each hides the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.judge.step_noise import around_steps
from harness.judge.step_scan import AFTER_INSIDE, BEFORE, Shapes, bumps, scan, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from harness.judge.grouped import FloatArray
    from harness.judge.step_noise import Noise

ALPHA = 0.04
"""Probability of any alert in a series without a step, for one series watched alone."""

SHORTEST = 10
"""Runs without which no step is sought."""

WINDOW = 5
"""Runs of the running median that an outlier is measured from; it follows a step at once and an outlier never."""

CLIP = 4.0
"""Robust standard deviations from the running median beyond which a run counts as no farther away."""

REBUILT = 399
"""Series rebuilt to judge one: the smallest p-value is 1/400."""

PORTIONS = (9, 90, REBUILT - 99)
"""Series rebuilt at a time: once too many show as large a statistic, the rest cannot change the answer."""

WARM_UP = 25
"""Values of a rebuilt series that are thrown away, so that it starts in its stationary state."""

BUMP_PORTION = 0.2
"""The part of alpha that the search for a step with its return may use; single steps have the rest."""

STRICTEST = 1.01 / (REBUILT + 1) / (1 - BUMP_PORTION)
"""The smallest alpha that the detector can tell from 0: what sharing one alpha among many series must not go below."""

INTERVAL_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """One step. `index` is the first run at the new level; `size` its log-ratio, interval [low, high] at `level`.

    `before` and `after` count the runs on either side that the two levels were taken from; `p_value` is that of the
    whole search, not of this split alone.
    """

    index: int
    size: float
    low: float
    high: float
    level: float
    p_value: float
    before: int
    after: int


def change_points(log_medians: Sequence[float], *, alpha: float = ALPHA, seed: int = 0) -> tuple[ChangePoint, ...]:
    """The steps of a series of runs' log-medians (oldest first), each once, in order.

    `alpha` is the probability of any alert in a series without a step; divide it by the number of series to hold it
    for all of them together. The result depends on nothing but the arguments.
    """
    import numpy as np

    values = np.asarray(log_medians, dtype=float)
    if len(values) < SHORTEST:
        return ()
    rng = np.random.default_rng(seed)
    smooth = _without_outliers(values)
    splits = _search(smooth, 0, len(values), alpha=alpha, rng=rng)
    edges = [0, *sorted(splits), len(values)]
    return tuple(
        _change(smooth[start:stop], split - start, offset=start, p_value=splits[split])
        for start, split, stop in zip(edges, edges[1:], edges[2:], strict=False)
    )


def unreported(
    changes: Sequence[ChangePoint], reported: Sequence[int], *, slack: int = WINDOW
) -> tuple[ChangePoint, ...]:
    """The changes that were not reported before: one alert per step, although its place may move by a few runs."""
    return tuple(change for change in changes if all(abs(change.index - old) > slack for old in reported))


def _search(values: FloatArray, start: int, stop: int, *, alpha: float, rng: np.random.Generator) -> dict[int, float]:
    """Split → p-value for every step between `start` and `stop`."""
    part = values[start:stop]
    last = 1 if stop == len(values) else AFTER_INSIDE
    if len(part) < max(SHORTEST, BEFORE + last):
        return {}
    noise = around_steps(part)
    for shapes, portion in ((steps(len(part), last=last), 1 - BUMP_PORTION), (bumps(len(part)), BUMP_PORTION)):
        if not len(shapes.starts):
            continue
        found, p_value = _test(part, shapes, noise=noise, alpha=alpha * portion, rng=rng)
        if p_value <= alpha * portion:
            inside = {start + edge: p_value for edge in found if edge < len(part)}
            edges = [start, *inside, stop]
            for left, right in pairwise(edges):
                inside |= _search(values, left, right, alpha=alpha, rng=rng)
            return inside
    return {}


def _test(
    part: FloatArray, shapes: Shapes, *, noise: Noise | None, alpha: float, rng: np.random.Generator
) -> tuple[tuple[int, int], float]:
    """Where the best of `shapes` is, and how often the same noise without it shows as large a statistic.

    Of a p-value above `alpha` no more is found out than that it is above.
    """
    import numpy as np
    from scipy.signal import lfilter

    found = scan(part[None], shapes, noise=noise)
    place = (int(found.start[0]), int(found.stop[0]))
    if found.noise.sd[0] == 0:
        # Noise-free beside the step: a step if there is one at all.
        return place, 0.0 if found.statistic[0] > 0 else 1.0
    residuals, rho = found.noise.residuals[0], float(found.noise.rho[0])
    innovations = residuals[1:] - rho * residuals[:-1]
    innovations -= innovations.mean()
    larger = 0
    for count in PORTIONS:
        if (1 + larger) / (1 + REBUILT) > alpha:
            break
        drawn = rng.choice(innovations, size=(count, WARM_UP + len(part)))
        rebuilt = np.asarray(lfilter([1.0], [1.0, -rho], drawn, axis=1)[:, WARM_UP:])
        larger += int(np.count_nonzero(scan(rebuilt, shapes).statistic >= found.statistic[0]))
    return place, (1 + larger) / (1 + REBUILT)


def _without_outliers(values: FloatArray) -> FloatArray:
    """The series with single runs drawn in to `CLIP` robust standard deviations from the running median."""
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW)
    edge = WINDOW // 2
    level = np.pad(np.median(windows, axis=-1), edge, mode="edge")
    distance = values - level
    # 1.25: a value lies nearer to a median of five that it is one of than to the true level (by simulation).
    limit = CLIP * 1.25 * 1.4826 * float(np.median(np.abs(distance)))
    smooth: FloatArray = level + np.clip(distance, -limit, limit) if limit > 0 else values
    return smooth


def _change(part: FloatArray, split: int, *, offset: int, p_value: float) -> ChangePoint:
    """The step at `split` of `part`, which holds the runs at the two levels and no others."""
    import numpy as np

    from harness.judge.interim import quantile

    runs = len(part)
    shape = Shapes(starts=np.array([split]), stops=np.array([runs]), runs=runs)
    found = scan(part[None], shape)
    size = float(part[split:].mean() - part[:split].mean())
    error = float(found.noise.sd[0]) * float(np.sqrt(shape.variance(found.noise.rho[:, None])[0, 0]))
    half = quantile((1 - INTERVAL_LEVEL) / 2, max(runs - 2.0, 1.0)) * error
    return ChangePoint(
        index=offset + split,
        size=size,
        low=size - half,
        high=size + half,
        level=INTERVAL_LEVEL,
        p_value=p_value,
        before=split,
        after=runs - split,
    )
