"""The scale of an interval, and when one says nothing."""

import math

import pytest

from harness.analysis.stats.estimate import says_nothing, scaled

INF = math.inf


@pytest.mark.parametrize(
    ("values", "bounds", "name"),
    [
        ((0.2, 0.9), (0.0, 1.0), "logits"),
        ((0.0, 0.9), (0.0, 1.0), ""),
        ((0.2, 1.0), (0.0, 1.0), ""),
        ((1.5, 4.5), (1.0, 4.65), "logits"),
        ((-0.5, 0.9), (-1.0, 1.0), "logits"),
        ((0.2, 7.0), (0.0, INF), "logarithms"),
        ((0.0, 7.0), (0.0, INF), ""),
        ((0.2, 7.0), (-INF, INF), "logarithms"),
        ((-0.2, 7.0), (-INF, INF), ""),
    ],
)
def test_values_come_back_from_the_scale_that_suits_their_bounds(
    values: tuple[float, ...], bounds: tuple[float, float], name: str
) -> None:
    found = scaled((values,), bounds)
    assert found.name == name
    (there,) = found.values
    assert [found.back(place) for place in there] == pytest.approx(values)
    if name == "logits":
        assert there == pytest.approx([math.log((each - bounds[0]) / (bounds[1] - each)) for each in values])
        assert bounds[0] <= found.back(-900.0) < found.back(900.0) <= bounds[1]


@pytest.mark.parametrize(
    ("point", "low", "high", "bounds", "scale", "nothing"),
    [
        # Two bounds: from 90 % of the range on.
        (0.5, 0.0, 0.875, (0.0, 1.0), "logits", False),
        (2.0, 1.0, 10.0, (1.0, 11.0), "logits", True),
        (2.0, 1.0, 9.9, (1.0, 11.0), "", False),
        (0.0, -1.0, 0.8, (-1.0, 1.0), "", True),
        # One or none: from as wide as the figure on, to either side; where there is a ratio.
        (1.0, 0.5, 2.5, (0.0, INF), "logarithms", True),
        (1.0, 0.5, 2.4375, (0.0, INF), "logarithms", False),
        (1.0, 0.0, 9.0, (0.0, INF), "", False),
        (1.0, 0.125, 9.0, (-INF, 20.0), "logarithms", True),
    ],
)
def test_an_interval_as_wide_as_the_figure_or_the_range_says_nothing(
    point: float, low: float, high: float, bounds: tuple[float, float], scale: str, *, nothing: bool
) -> None:
    assert says_nothing(point, low, high, bounds=bounds, scale=scale) is nothing
