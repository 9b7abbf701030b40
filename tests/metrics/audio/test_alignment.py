import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.audio.alignment import align

sequences = st.lists(st.integers(-5, 5), min_size=1, max_size=9).map(lambda each: np.array(each, dtype=float)[:, None])


def cheapest(x: np.ndarray, y: np.ndarray) -> float:
    """The recursion as it is written down, cell by cell."""
    cost = np.full((len(x), len(y)), np.inf)
    for i in range(len(x)):
        for j in range(len(y)):
            before = [cost[i - 1, j - 1]] if i and j else []
            before += [cost[i - 1, j]] if i else []
            before += [cost[i, j - 1]] if j else []
            cost[i, j] = np.linalg.norm(x[i] - y[j]) + min(before, default=0.0)
    return float(cost[-1, -1])


@given(sequences, sequences)
def test_finds_the_cheapest_path(x: np.ndarray, y: np.ndarray) -> None:
    path = align(x, y)
    assert path.cost == pytest.approx(cheapest(x, y))
    assert path.cost == pytest.approx(
        sum(np.linalg.norm(x[i] - y[j]) for i, j in zip(path.rows, path.columns, strict=True))
    )


@given(sequences, sequences, st.sampled_from([None, 0, 1, 3]))
def test_the_path_leads_from_corner_to_corner_in_single_steps(x: np.ndarray, y: np.ndarray, radius: int | None) -> None:
    path = align(x, y, radius=radius)
    assert (path.rows[0], path.columns[0]) == (0, 0)
    assert (path.rows[-1], path.columns[-1]) == (len(x) - 1, len(y) - 1)
    steps = set(zip(np.diff(path.rows).tolist(), np.diff(path.columns).tolist(), strict=True))
    assert steps <= {(1, 1), (1, 0), (0, 1)}
    assert np.isfinite(path.cost)


@given(sequences)
def test_itself_is_the_diagonal(x: np.ndarray) -> None:
    path = align(x, x)
    assert path.cost == 0
    assert path.rows.tolist() == path.columns.tolist() == list(range(len(x)))


@given(sequences, sequences)
def test_a_wider_band_never_costs_more(x: np.ndarray, y: np.ndarray) -> None:
    costs = [align(x, y, radius=radius).cost for radius in (0, 1, 2, 4, None)]
    assert all(wider <= narrower + 1e-9 for narrower, wider in itertools.pairwise(costs))


def test_the_band_follows_the_line_between_the_corners() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((50, 3)), generator.standard_normal((120, 3))
    path = align(x, y, radius=6)
    assert np.max(np.abs(path.columns - path.rows * 119 / 49)) <= 6


def test_repeated_frames_are_found() -> None:
    x = np.arange(5.0)[:, None]
    path = align(x, np.repeat(x, [1, 3, 1, 2, 1], axis=0))
    assert path.cost == 0
    assert path.rows.tolist() == [0, 1, 1, 1, 2, 3, 3, 4]
    assert path.columns.tolist() == list(range(8))
