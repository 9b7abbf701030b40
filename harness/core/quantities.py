"""The one reader of numbers, durations, sizes and shares, and the one writer of signed figures.

They are read from TOML, the environment, an option or another file.

Each reader raises ValueError with words that follow the name of a key or option: "must be a number, not 'x'".
"""

import math
import re
from collections.abc import Mapping
from typing import Any

DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
"""Unit → seconds. A unit that ends as another does stands before it."""
_SEVERAL = re.compile("".join(rf"(?:([0-9]+{unit})\s*)?" for unit in ("d", "h", "m", "s")))
"""Whole numbers of several units, the largest first."""
SIZES = {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
"""Unit → bytes."""


MINUS = "\u2212"


class Figure(float):
    """A number that every format writes for people: with a true minus sign, and zero without one."""

    def __format__(self, spec: str) -> str:
        text = super().__format__(spec)
        if not text.startswith("-"):
            return text
        plus = "+" if spec.startswith("+") else ""
        return MINUS + text[1:] if re.search("[1-9]", text) else plus + text[1:]


def as_number(value: Any, what: str = "a number") -> float:  # noqa: ANN401 - text or a number, from anywhere
    """A finite number. `what` names in the error what the text should have been."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"must be {what}, not {value!r}")
    return number


def as_positive(value: Any) -> float:  # noqa: ANN401 - text or a number, from anywhere
    """A number above 0."""
    number = as_number(value)
    if number <= 0:
        raise ValueError(f"must be positive, not {value!r}")
    return number


def as_seconds(value: Any) -> float:  # noqa: ANN401 - text or a number, from anywhere
    """Seconds, or text such as 25ms, 90s, 5m, 1.5h, 1h30m, 30d; more than 0."""
    seconds = as_pause(value)
    if not seconds:
        raise ValueError(f"must be positive, not {value!r}")
    return seconds


def as_pause(value: Any) -> float:  # noqa: ANN401 - text or a number, from anywhere
    """Seconds as `as_seconds` reads them, or 0 for none."""
    several = _SEVERAL.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    parts = [each for each in several.groups() if each] if several else []
    what = "a duration such as 90s, 5m or 1h30m"
    seconds = sum(_with_unit(each, DURATIONS, what) for each in parts or [value])
    if seconds < 0:
        raise ValueError(f"must be positive, not {value!r}")
    return seconds


def as_size(value: Any) -> int:  # noqa: ANN401 - text or a number, from anywhere
    """Bytes, or text such as 4GB, 1.5GiB, 512MB; 0 for none."""
    size = _with_unit(value, SIZES, "a size such as 512MB or 4GiB")
    if size < 0:
        raise ValueError(f"must not be negative, not {value!r}")
    return round(size)


def as_share(value: Any) -> float:  # noqa: ANN401 - text or a number, from anywhere
    """A share below 1, or text such as 2%; 0 for none."""
    share = _with_unit(value, {"%": 0.01}, "a share such as 2% or 0.02")
    if not 0 <= share < 1:
        raise ValueError(f"must be between 0 and 100%, not {value!r}")
    return share


def as_positive_share(value: Any) -> float:  # noqa: ANN401 - text or a number, from anywhere
    """A share as `as_share` reads it, above 0."""
    share = as_share(value)
    if not share:
        raise ValueError(f"must be positive, not {value!r}")
    return share


def _with_unit(value: Any, units: Mapping[str, float], what: str) -> float:  # noqa: ANN401 - text or a number
    """The number times its unit, if it has one. An error quotes the whole text."""
    if not isinstance(value, str):
        return as_number(value, what)
    text = value.strip().lower()
    unit = next((each for each in units if text.endswith(each)), "")
    try:
        return as_number(text.removesuffix(unit)) * units.get(unit, 1.0)
    except ValueError:
        raise ValueError(f"must be {what}, not {value!r}") from None
