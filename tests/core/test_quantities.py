"""Durations, sizes and shares are read alike, whoever asks for them."""

from collections.abc import Callable

import pytest

from harness.core.quantities import as_pause, as_positive_share, as_seconds, as_share, as_size


@pytest.mark.parametrize(
    ("reader", "given", "read"),
    [
        (as_seconds, 90, 90.0),
        (as_seconds, "25ms", 0.025),
        (as_seconds, " 1.5H ", 5_400.0),
        (as_seconds, "30d", 2_592_000.0),
        (as_seconds, "1h30m", 5_400.0),
        (as_seconds, "1d 2h 3m 4s", 93_784.0),
        (as_pause, "0", 0.0),
        (as_pause, "0s", 0.0),
        (as_pause, "0h0m", 0.0),
        (as_pause, "1m30s", 90.0),
        (as_size, "1.5GiB", 1_610_612_736),
        (as_size, "512 MB", 512_000_000),
        (as_size, 0, 0),
        (as_share, "2%", 0.02),
        (as_share, 0.02, 0.02),
        (as_positive_share, "5%", 0.05),
    ],
)
def test_a_quantity_is_read_with_and_without_its_unit(
    reader: Callable[[object], float], given: object, read: float
) -> None:
    assert reader(given) == pytest.approx(read)


@pytest.mark.parametrize(
    ("reader", "given", "told"),
    [
        (as_seconds, "fours", "must be a duration such as 90s, 5m or 1h30m, not 'fours'"),
        (as_seconds, "30m1h", "must be a duration such as 90s, 5m or 1h30m, not '30m1h'"),
        (as_seconds, "0h0m", "must be positive, not '0h0m'"),
        (as_seconds, "", "must be a duration such as 90s, 5m or 1h30m, not ''"),
        (as_seconds, "infs", "must be a duration such as 90s, 5m or 1h30m, not 'infs'"),
        (as_seconds, True, "must be a duration such as 90s, 5m or 1h30m, not True"),
        (as_seconds, "-3m", "must be positive, not '-3m'"),
        (as_seconds, 0, "must be positive, not 0"),
        (as_pause, "-3m", "must be positive, not '-3m'"),
        (as_pause, "soon", "must be a duration such as 90s, 5m or 1h30m, not 'soon'"),
        (as_size, "1TB2", "must be a size such as 512MB or 4GiB, not '1TB2'"),
        (as_size, "-1GB", "must not be negative, not '-1GB'"),
        (as_share, "much", "must be a share such as 2% or 0.02, not 'much'"),
        (as_share, "100%", "must be between 0 and 100%, not '100%'"),
        (as_positive_share, "0%", "must be positive, not '0%'"),
    ],
)
def test_a_quantity_that_makes_no_sense_is_refused_as_it_was_written(
    reader: Callable[[object], float], given: object, told: str
) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refused:
        reader(given)
    assert str(refused.value) == told
