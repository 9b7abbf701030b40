"""Dynamic time warping: aligns the frames of two utterances that differ in pace."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.audio.spectra import Floats

_DIAGONAL, _DOWN, _RIGHT = 0, 1, 2
_PAD = 3
"""Infinite cells on either side of an anti-diagonal; the band moves by at most one cell per step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """A path from the first pair of frames to the last: `rows` and `columns`, shape (pairs,), never decreasing.

    `cost` is the sum of the Euclidean distances of its pairs.
    """

    rows: "NDArray[np.intp]"
    columns: "NDArray[np.intp]"
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedSpectra:
    """Two utterances and their aligned frames, without the pairs in which both pause.

    Powers have the shape (frames, bins), cepstra (frames, 13), each with its own number of frames; `rows` and
    `columns`, shape (pairs,), are the frames of x and of y.
    """

    power_x: "Floats"
    power_y: "Floats"
    cepstra_x: "Floats"
    cepstra_y: "Floats"
    rows: "NDArray[np.intp]"
    columns: "NDArray[np.intp]"
    path: Alignment
    """The alignment of all frames, pauses included."""


def align(x: "Floats", y: "Floats", *, radius: int | None = None) -> Alignment:
    """The cheapest path through x of shape (n, k) against y of shape (m, k), both with at least one frame.

    Steps are (1, 1), (1, 0) and (0, 1), all of weight one (H. Sakoe and S. Chiba, IEEE ASSP 26, 1978, without slope
    constraint); where they cost the same, the diagonal one is taken. The path stays within `radius` frames of the
    straight line between the corners; None: anywhere. Time and memory are in proportion to the band's area, one vector
    operation per anti-diagonal.
    """
    import numpy as np

    if np.array_equal(x, y):
        # The diagonal costs nothing, and ties prefer it.
        return Alignment(rows=np.arange(len(x)), columns=np.arange(len(x)), cost=0.0)
    band = _Band(len(x), len(y), radius)
    before, last, current = (np.full(len(x) + 2 * _PAD, np.inf) for _ in range(3))
    steps: list[NDArray[np.int8]] = []
    for diagonal in range(len(x) + len(y) - 1):
        low, high = band.rows(diagonal)
        here = slice(low + _PAD, high + 1 + _PAD)
        above = slice(low - 1 + _PAD, high + _PAD)
        apart = x[low : high + 1] - y[diagonal - high : diagonal - low + 1][::-1]
        local = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        straight, down, right = before[above], last[above], last[here]
        best = np.minimum(np.minimum(straight, down), right)
        step = np.where(straight == best, _DIAGONAL, np.where(down == best, _DOWN, _RIGHT)).astype(np.int8)
        current[low : high + 1 + 2 * _PAD] = np.inf
        current[here] = local + (best if diagonal else 0.0)
        steps.append(step)
        before, last, current = last, current, before
    rows, columns = _walk_back(steps, band)
    return Alignment(rows=rows, columns=columns, cost=float(last[len(x) - 1 + _PAD]))


class _Band:
    """The rows that each anti-diagonal row + column = d may use."""

    def __init__(self, n: int, m: int, radius: int | None) -> None:
        self.n, self.m = n, m
        self._slope = (m - 1) / (n - 1) if n > 1 else float(m)
        # Narrower than a step of the line, the band would fall apart.
        wide = math.ceil(max(self._slope, 1.0)) + 1
        self._radius = n + m if radius is None else max(radius, wide)

    def rows(self, diagonal: int) -> tuple[int, int]:
        """The first and the last row: those whose column is within the radius of slope · row, and that exist."""
        low = math.ceil((diagonal - self._radius) / (1 + self._slope))
        high = math.floor((diagonal + self._radius) / (1 + self._slope))
        return max(low, diagonal - self.m + 1, 0), min(high, diagonal, self.n - 1)


def _walk_back(steps: "list[NDArray[np.int8]]", band: _Band) -> "tuple[NDArray[np.intp], NDArray[np.intp]]":
    import numpy as np

    row, column = band.n - 1, band.m - 1
    path = [(row, column)]
    while row or column:
        diagonal = row + column
        step = int(steps[diagonal][row - band.rows(diagonal)[0]])
        row, column = row - (step != _RIGHT), column - (step != _DOWN)
        path.append((row, column))
    rows, columns = np.array(path[::-1], dtype=np.intp).T
    return rows, columns
